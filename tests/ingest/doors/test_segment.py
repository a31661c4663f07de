"""`/v1/page`, `/v1/track` and `/v1/batch`, as Segment's libraries send them."""

import gzip
import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.ingest.doors.tracker_door import CHROME, GOOGLEBOT, TrackerDoor

pytestmark = [pytest.mark.xdist_group("doors"), pytest.mark.any_database]
PAGE, TRACK, BATCH = "/v1/page", "/v1/track", "/v1/batch"
KEY = {"writeKey": "write-key", "userId": "u1"}
URL = {"properties": {"url": "https://shop.example/a"}}


def basic(user: str) -> str:
    return "Basic " + b64encode(f"{user}:".encode()).decode()


@pytest.mark.parametrize(
    ("path", "sent", "expected"),
    [
        (PAGE, URL, {"name": "pageview", "path": "/a", "hostname": "shop.example"}),
        (PAGE, {"properties": {"path": "/p"}, "name": "P"}, {"path": "/p", "title": "P"}),
        (PAGE, {"name": "Our prices"}, {"path": "/Our%20prices", "title": "Our prices"}),
        (PAGE, {}, {"path": "/"}),
        (PAGE, {"context": {"page": {"url": "https://shop.example/c", "title": "C",
                                     "referrer": "https://google.com/"}}},
         {"path": "/c", "title": "C", "source": "Google"}),
        (PAGE, {"properties": {"url": "/a", "title": "T", "plan": "pro"}, "category": "docs"},
         {"title": "T", "props": {"plan": "pro", "category": "docs"}}),
        (PAGE, URL | {"context": {"campaign": {"name": "spring", "source": "news"}}},
         {"utm_campaign": "spring", "utm_source": "news"}),
        (PAGE, URL | {"context": {"locale": "de-DE", "timezone": "Europe/Berlin",
                                  "screen": {"width": 1366, "height": 768}}},
         {"language": "de-DE", "time_zone": "Europe/Berlin", "screen": "1366x768"}),
        (PAGE, URL | {"messageId": "m1"}, {"id": "m1", "retryable": True}),
        (PAGE, URL | {"timestamp": "2026-11-20T10:00:00Z"}, {"ts": 1_795_168_800_000}),
        (TRACK, {"event": "Signed Up", "properties": {"plan": {"name": "pro"}, "seats": 3}},
         {"name": "Signed Up", "path": "/", "props": {"plan.name": "pro", "seats": 3}}),
        (TRACK, {"event": "e", "context": {"page": {"url": "https://shop.example/c"}}},
         {"name": "e", "path": "/c"}),
        ("/v1/p", URL, {"name": "pageview"}),
        ("/v1/t", {"event": "e"}, {"name": "e"}),
        (PAGE, {"properties": 5, "context": 5, "name": 5}, {"path": "/5"}),
    ],
)  # fmt: skip
def test_it_translates(
    door: TrackerDoor, path: str, sent: dict[str, Any], expected: dict[str, Any]
) -> None:
    said = door.ask(path, KEY | sent)
    assert (said.status, said.json) == (200, {"success": True})
    assert said.headers["access-control-allow-origin"] == "*"
    assert "x-tracker-refused" not in said.headers
    door.check_event(expected)


def test_the_write_key_may_be_a_user_name(door: TrackerDoor) -> None:
    sent = {"anonymousId": "a1", **URL}
    assert door.ask(PAGE, sent, authorization=basic("write-key")).status == 200
    door.check_event({"path": "/a"})
    assert door.ask(PAGE, sent | KEY, authorization="Bearer oauth").status == 200
    door.check_event({"path": "/a"})


def test_a_wrong_clock_does_not_matter(door: TrackerDoor) -> None:
    wrong = datetime.now(UTC) - timedelta(days=400)
    sent = {"timestamp": wrong.isoformat(), "sentAt": (wrong + timedelta(seconds=30)).isoformat()}
    door.ask(PAGE, KEY | URL | sent)
    event = door.event()
    assert event.received - event.ts == 30_000


def test_a_batch(door: TrackerDoor) -> None:
    batch = [
        {"type": "page", "anonymousId": "a1", **URL},
        {"type": "track", "anonymousId": "a1", "event": "e"},
        {"type": "track", "anonymousId": "a1"},
        {"type": "identify", "userId": "u1"},
        {"type": "other"},
        5,
    ]
    sent = {"batch": batch, "context": {"locale": "fr"}}
    said = door.ask(BATCH, sent, authorization=basic("write-key"))
    assert (said.status, said.json) == (200, {"success": True})
    assert said.headers["x-tracker-refused"].endswith("(and 2 more)")
    page, track = sorted(door.events(2), key=lambda event: event.name != "pageview")
    assert (page.path, track.name, page.language, track.language) == ("/a", "e", "fr", "fr")
    assert page.visitor == track.visitor


def test_a_batch_may_be_packed(door: TrackerDoor) -> None:
    sent = gzip.compress(json.dumps(KEY | {"batch": [{"type": "page", **URL}]}).encode())
    assert door.ask(BATCH, sent, content_encoding="gzip").status == 200
    door.check_event({"path": "/a"})


@pytest.mark.parametrize(
    ("packed", "status"),
    [
        (b"not gzip", 400),
        (gzip.compress(b"{}")[:-4], 400),
        (b"", 400),
        (gzip.compress(b" " * 10_000_000), 413),
    ],
    # What is packed has the time of its packing in it, and every worker must find the same names.
    ids=["no gzip", "cut off", "nothing", "a bomb"],
)
def test_it_unpacks_no_bombs(door: TrackerDoor, packed: bytes, status: int) -> None:
    said = door.ask(BATCH, packed, content_encoding="gzip")
    assert (said.status, said.json["success"]) == (status, False)
    door.no_event()


@pytest.mark.parametrize("path", ["identify", "group", "alias", "screen", "i", "g", "a", "s"])
def test_who_somebody_is_is_not_counted(door: TrackerDoor, path: str) -> None:
    said = door.ask(f"/v1/{path}", KEY)
    assert (said.status, said.json) == (200, {"success": True})
    door.no_event()


def test_a_server_speaks_for_its_visitor(door: TrackerDoor) -> None:
    context = {"context": {"userAgent": CHROME, "ip": "203.0.113.7"}}
    for sent in (URL | context, URL):
        door.ask(PAGE, KEY | sent, user_agent="analytics-node/3.1.0")
    assert [event.browser for event in door.events(2)] == ["Chrome", None]
    crawler = {"writeKey": "write-key", "anonymousId": "a1", "context": {"userAgent": GOOGLEBOT}}
    door.ask(PAGE, crawler | URL, user_agent="analytics-node/3.1.0")
    door.check_event({"bot": "crawler"})


@pytest.mark.parametrize(
    ("path", "sent", "said"),
    [
        (PAGE, KEY | URL | {"writeKey": "other"}, "writeKey: this site is not tracked"),
        (PAGE, KEY | {"properties": {"url": "ftp://a.example/"}}, "properties.url: must begin"),
        (PAGE, KEY | URL | {"timestamp": "soon"}, "timestamp: not a time"),
        (PAGE, KEY | URL | {"messageId": "m" * 200}, "messageId: Expected"),
        (TRACK, KEY, "event: a track call"),
    ],
)
def test_it_takes_what_is_wrong_as_segment_does(
    door: TrackerDoor, path: str, sent: Any, said: str
) -> None:
    answer = door.ask(path, sent)
    assert (answer.status, answer.json) == (200, {"success": True})
    assert answer.headers["x-tracker-refused"].startswith(said)
    door.no_event()


@pytest.mark.parametrize(
    ("path", "sent", "status", "message"),
    [
        (PAGE, b"{", 400, "body: the body is not readable"),
        (PAGE, b"[]", 400, "body: the body must be"),
        (PAGE, URL, 401, "writeKey: a write key"),
        (PAGE, KEY | {"writeKey": {}}, 401, "writeKey: a write key"),
        (BATCH, KEY, 400, "batch: must be an array"),
        (BATCH, KEY | {"batch": [{}] * 1_001}, 400, "events: a batch holds"),
    ],
)
def test_it_says_what_is_no_request(
    door: TrackerDoor, path: str, sent: Any, status: int, message: str
) -> None:
    said = door.ask(path, sent)
    assert (said.status, said.json["success"]) == (status, False)
    assert said.json["message"].startswith(message)
    assert said.json["code"]
    door.no_event()


def test_browsers_may_send_from_any_origin(door: TrackerDoor) -> None:
    said = door.ask(BATCH, b"", "OPTIONS", access_control_request_method="POST")
    assert (said.status, said.headers["access-control-allow-origin"]) == (204, "*")
    assert "Authorization" in said.headers["access-control-allow-headers"]
