"""`POST /api/send` and `/api/batch`, as Umami's scripts and clients send them."""

from typing import Any
from uuid import UUID

import pytest

from tests.ingest.doors.tracker_door import CHROME, GOOGLEBOT, SITE, WEBSITE, TrackerDoor

pytestmark = [pytest.mark.xdist_group("doors"), pytest.mark.any_database]
SEND, BATCH = "/api/send", "/api/batch"
VIEW = {"website": WEBSITE, "hostname": "shop.example", "url": "/a?utm_source=news", "title": "A"}


def event(kind: str = "event", **changes: Any) -> dict[str, Any]:
    return {"type": kind, "payload": VIEW | changes}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (event(), {"name": "pageview", "path": "/a", "hostname": "shop.example", "title": "A",
                   "utm_source": "news", "browser": "Chrome"}),
        (event(website=WEBSITE.upper()), {"path": "/a"}),
        (event(website=SITE), {"path": "/a"}),
        (event(website=None, link=WEBSITE), {"path": "/a"}),
        (event(url="https://other.example/b"), {"hostname": "other.example", "path": "/b"}),
        (event(url=None), {"path": "/", "hostname": "shop.example"}),
        (event(hostname="no hostname"), {"hostname": None, "path": "/a"}),
        (event(url="/", referrer="https://google.com/"), {"source": "Google"}),
        (event(url="/", referrer="/before"),
         {"referrer": "https://shop.example/before", "source": None}),
        (event(screen="1920x1080", language="en-US"), {"screen": "1920x1080", "language": "en-US"}),
        (event(screen="9" * 30, language="x" * 40), {"screen": None, "language": None}),
        (event(timestamp=1_795_000_000), {"ts": 1_795_000_000_000}),
        (event(timestamp="1795000000"), {"ts": 1_795_000_000_000}),
        (event(name="signup", data={"plan": "pro", "a": {"b": 1}}, tag="red"),
         {"name": "signup", "props": {"plan": "pro", "a.b": 1, "tag": "red"}}),
        (event("performance", lcp=1200.5, cls=0.1, inp=None),
         {"name": "web_vitals", "props": {"lcp": 1200.5, "cls": 0.1}}),
        (event("engagement", engagement=4_500), {"name": "engagement", "props": {"seconds": 4.5}}),
        (event(title="t" * 2_000), {"title": "t" * 1_000}),
    ],
)  # fmt: skip
def test_it_translates(door: TrackerDoor, sent: dict[str, Any], expected: dict[str, Any]) -> None:
    said = door.ask(SEND, sent)
    assert said.status == 200
    assert said.headers["access-control-allow-origin"] == "*"
    assert set(said.json) == {"cache", "sessionId", "visitId"}
    assert UUID(said.json["sessionId"])
    door.check_event(expected)


def test_it_knows_visitors_by_their_id(door: TrackerDoor) -> None:
    first, second = door.ask(SEND, event(id="u1")), door.ask(SEND, event(id="u1"), user_agent="x")
    other = door.ask(SEND, event(id="u2"))
    assert first.json["sessionId"] == second.json["sessionId"] != other.json["sessionId"]
    visitors = {found.visitor for found in door.events(3)}
    assert len(visitors) == 2
    assert not any(visitor in first.body.decode() for visitor in visitors)


def test_a_server_speaks_for_its_visitor(door: TrackerDoor) -> None:
    sent = event(ip="203.0.113.7", userAgent=CHROME)
    assert door.ask(SEND, sent, user_agent="node").status == 200
    door.check_event({"browser": "Chrome"})
    sent = event(ip="203.0.113.7", userAgent=GOOGLEBOT)
    assert door.ask(SEND, sent, user_agent="node").json == {"beep": "boop"}
    door.check_event({"bot": "crawler"})


def test_a_bot_is_answered_as_one(door: TrackerDoor) -> None:
    said = door.ask(SEND, event(), user_agent=GOOGLEBOT)
    assert (said.status, said.json) == (200, {"beep": "boop"})
    door.check_event({"bot": "crawler"})


def test_identities_are_nothing_that_happened(door: TrackerDoor) -> None:
    said = door.ask(SEND, event("identify", data={"name": "somebody"}))
    assert (said.status, set(said.json)) == (200, {"cache", "sessionId", "visitId"})
    door.no_event()


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"{", "body: the body is not readable as JSON"),
        ({}, "payload.website"),
        (event(website=None), "payload.website"),
        (event(website="00000000-0000-0000-0000-000000000000"), "Website not found."),
        (event("other"), "type: must be one of"),
        ({"type": [], "payload": VIEW}, "type: must be one of"),
        (event(url=5), "payload.url"),
        (event(url="ftp://a.example/"), "payload.url"),
        (event(url="/" + "a" * 5_000), "payload.url"),
        (event(timestamp=4_000_000_000), "payload.timestamp"),
        (event(id="x" * 300), "payload.id"),
    ],
)
def test_it_says_what_is_wrong(door: TrackerDoor, sent: Any, message: str) -> None:
    said = door.ask(SEND, sent)
    error = said.json["error"]
    assert (said.status, error["status"], error["code"]) == (400, 400, "bad-request")
    assert error["message"].startswith(message)
    door.no_event()


def test_a_batch_keeps_what_is_valid(door: TrackerDoor) -> None:
    said = door.ask(
        BATCH, [event(url="/1"), event(website="nobody"), event(url="/2"), 5, event("x")]
    )
    assert said.status == 200
    counts = {name: said.json[name] for name in ("size", "processed", "errors")}
    assert counts == {"size": 5, "processed": 2, "errors": 3}
    assert [detail["index"] for detail in said.json["details"]] == [1, 3, 4]
    assert {found.path for found in door.events(2)} == {"/1", "/2"}


@pytest.mark.parametrize("sent", [{}, b"", "null", [event()] * 1_001])
def test_what_is_no_batch_is_a_bad_request(door: TrackerDoor, sent: Any) -> None:
    said = door.ask(BATCH, sent)
    assert (said.status, said.json["error"]["code"]) in ((400, "bad-request"), (413, ""))
    door.no_event()


def test_scripts_may_send_their_cache_along(door: TrackerDoor) -> None:
    said = door.ask(
        SEND,
        b"",
        "OPTIONS",
        access_control_request_method="POST",
        access_control_request_headers="content-type,x-umami-cache",
    )
    assert (said.status, said.headers["access-control-allow-headers"]) == (204, "*")
    cache = door.ask(SEND, event()).json["cache"]
    assert door.ask(SEND, event(), x_umami_cache=cache).json["cache"] == cache
    first, second = door.events(2)
    assert first.visitor == second.visitor
