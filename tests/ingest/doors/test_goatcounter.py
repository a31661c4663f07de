"""`/count`, as count.js asks for it, and `POST /api/v0/count`."""

from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.ingest.doors.tracker_door import CHROME, GOOGLEBOT, SITE, TrackerDoor

pytestmark = [pytest.mark.xdist_group("doors"), pytest.mark.any_database]
API = "/api/v0/count"
HIT = {"path": "/a", "session": "s1"}


def count(door: TrackerDoor, method: str = "GET", **sent: Any) -> Any:
    headers = {"host": "stats.shop.example", "referer": "https://shop.example/", **_headers(sent)}
    return door.ask(f"/count?{urlencode(sent)}", method=method, **headers)


def _headers(sent: dict[str, Any]) -> dict[str, str]:
    names = [name for name in sent if name.startswith("h_")]
    return {name.removeprefix("h_"): sent.pop(name) for name in names}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"p": "/a", "t": "Page A", "r": "https://google.com/", "s": "1920,1080,2", "rnd": "x"},
         {"name": "pageview", "path": "/a", "title": "Page A", "source": "Google",
          "screen": "1920x1080", "hostname": "shop.example"}),
        ({"p": "/a", "q": "?utm_source=news"}, {"utm_source": "news"}),
        ({"p": "/a?utm_source=own", "q": "?utm_source=news"}, {"utm_source": "own"}),
        ({"p": "a"}, {"path": "/a"}),
        ({"p": "//a"}, {"path": "/a"}),
        ({"p": "click", "e": "true", "t": "A click"},
         {"name": "click", "title": "A click", "path": "/"}),
        ({"p": "/", "e": "true"}, {"name": "(no event name)"}),
        ({"p": "/a", "b": "0"}, {}),
        ({"p": "/a", "b": "153"}, {"bot": "headless"}),
        ({"p": "/a", "h_user_agent": GOOGLEBOT}, {"bot": "crawler"}),
        ({"p": "/a", "h_accept_language": "de-CH,de;q=0.9"}, {"language": "de-CH"}),
        ({"p": "/a", "h_referer": "https://www.shop.example/x", "h_host": "127.0.0.1"},
         {"hostname": "www.shop.example"}),
        ({"p": "/a", "h_referer": "", "h_host": "localhost"},
         {"site": "localhost", "hostname": None}),
        ({"p": "/a", "s": "1,2"}, {"screen": "1x2"}),
        ({"p": "/a", "s": "wide"}, {"screen": None}),
        ({"p": "/a", "t": "t" * 1_100}, {"title": "t" * 1_000}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_it_translates(
    door: TrackerDoor, method: str, sent: dict[str, Any], expected: dict[str, Any]
) -> None:
    said = count(door, method, **sent)
    assert (said.status, said.headers["content-type"]) == (200, "image/gif")
    assert said.body.startswith(b"GIF89a")
    assert said.headers["access-control-allow-origin"] == "*"
    assert said.headers["cross-origin-resource-policy"] == "cross-origin"
    door.check_event(expected)


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        ({}, 400, "path"),
        ({"p": ""}, 400, "path"),
        ({"p": "/a", "b": "1"}, 400, "bot"),
        ({"p": "/" + "a" * 2_048}, 414, "path"),
        ({"p": "/\x00"}, 400, "path"),
        ({f"a{n}": "1" for n in range(201)}, 400, "query"),
    ],
)
def test_its_pixel_says_what_is_wrong_in_a_header(
    door: TrackerDoor, sent: dict[str, str], status: int, reason: str
) -> None:
    said = count(door, **sent)
    assert (said.status, said.headers["content-type"]) == (status, "image/gif")
    assert said.headers["x-goatcounter"].startswith(f"not valid: {reason}")
    door.no_event()


# --- The API ----------------------------------------------------------------------------


def post(door: TrackerDoor, *hits: Any, **sent: Any) -> Any:
    """With a valid token, unless it is given another one."""
    headers = {"authorization": "Bearer gc-token", "user_agent": "python-requests/2.34"}
    headers |= _headers(sent)
    return door.ask(API, {"hits": list(hits)} | sent, **headers)


@pytest.mark.parametrize(
    ("hit", "expected"),
    [
        (HIT, {"name": "pageview", "path": "/a", "hostname": None, "browser": None}),
        (HIT | {"title": "A", "ref": "https://google.com/", "size": [1366, 768, 1]},
         {"title": "A", "source": "Google", "screen": "1366x768"}),
        (HIT | {"query": "utm_campaign=spring"}, {"utm_campaign": "spring"}),
        (HIT | {"created_at": "2026-11-20T10:00:00Z"}, {"ts": 1_795_168_800_000}),
        (HIT | {"event": True, "path": "click"}, {"name": "click"}),
        ({"path": "/a", "ip": "203.0.113.7", "user_agent": CHROME}, {"browser": "Chrome"}),
        ({"path": "/a", "ip": "203.0.113.7", "user_agent": GOOGLEBOT}, {"bot": "crawler"}),
        (HIT | {"bot": 152}, {"bot": "headless"}),
    ],
)  # fmt: skip
def test_its_api_translates(
    door: TrackerDoor, hit: dict[str, Any], expected: dict[str, Any]
) -> None:
    said = post(door, hit)
    assert (said.status, said.body) == (202, b'{"status":"ok"}')
    door.check_event(expected)


@pytest.mark.parametrize("token", ["Bearer gc-token", "Basic " + b64encode(b"u:gc-token").decode()])
def test_its_token_names_the_site(door: TrackerDoor, token: str) -> None:
    assert post(door, HIT, {"path": "/b"}, no_sessions=True, h_authorization=token).status == 202
    assert {(event.site, event.path) for event in door.events(2)} == {(SITE, "/a"), (SITE, "/b")}


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "Authorization: no"), ("Bearer", "Authorization: no"), ("Basic =", "Authorization: no"),
     ("Bearer other", "unknown token"), ("Digest x", "Authorization: no")],
)  # fmt: skip
def test_it_wants_a_token(door: TrackerDoor, token: str, said: str) -> None:
    answer = post(door, HIT, h_authorization=token)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Basic realm=GoatCounter")
    assert answer.json["error"].startswith(said)
    door.no_event()


def test_its_errors_name_the_hits(door: TrackerDoor) -> None:
    said = post(door, HIT, {"path": "/b"}, HIT | {"path": ""}, HIT | {"created_at": "soon"}, 5)
    assert said.status == 400
    assert list(said.json["errors"]) == ["1", "2", "3", "4"]
    assert said.json["errors"]["3"].startswith("created_at: not a time")
    door.check_event({"path": "/a"})


@pytest.mark.parametrize(
    ("sent", "error"),
    [(b"", "body"), (b"[]", "body"), ({}, "no hits"), ({"hits": []}, "no hits"),
     ({"hits": "x"}, "no hits"), ({"hits": [HIT] * 501}, "maximum amount of pageviews")],
)  # fmt: skip
def test_its_api_says_what_is_wrong(door: TrackerDoor, sent: Any, error: str) -> None:
    said = door.ask(API, sent, authorization="Bearer gc-token")
    assert said.status == 400
    assert said.json["error"].startswith(error)
    door.no_event()
