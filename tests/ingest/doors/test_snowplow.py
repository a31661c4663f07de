"""`POST /com.snowplowanalytics.snowplow/tp2` and `/i`, as Snowplow's trackers send them."""

import json
import time
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.ingest.doors.tracker_door import CHROME, GOOGLEBOT, TrackerDoor

pytestmark = [pytest.mark.xdist_group("doors"), pytest.mark.any_database]
POST = "/com.snowplowanalytics.snowplow/tp2"
VIEW = {"e": "pv", "aid": "shop-app", "url": "https://shop.example/a", "page": "A"}
SCHEMA = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"


def described(name: str, data: Any) -> str:
    inner = {"schema": f"iglu:com.acme/{name}/jsonschema/1-0-0", "data": data}
    return json.dumps({"schema": "iglu:…/unstruct_event/jsonschema/1-0-0", "data": inner})


def packed(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"name": "pageview", "path": "/a", "title": "A", "browser": "Chrome"}),
    ({"refr": "https://google.com/", "res": "1366x768", "lang": "de-DE", "tz": "Europe/Berlin"},
     {"source": "Google", "screen": "1366x768", "language": "de-DE",
      "time_zone": "Europe/Berlin"}),
    ({"eid": "11111111-2222-4333-8444-555555555555"},
     {"id": "11111111-2222-4333-8444-555555555555", "retryable": True}),
    ({"ttm": "1795168800000"}, {"ts": 1_795_168_800_000}),
    ({"e": "pp", "pp_may": "400", "vp": "1000x600", "ds": "1000x2000"},
     {"name": "engagement", "props": {"scroll_depth": 50}}),
    ({"e": "pp"}, {"name": "engagement", "props": None}),
    ({"e": "pp", "pp_may": "x", "vp": "x", "ds": "1x0"}, {"name": "engagement", "props": None}),
    ({"e": "se", "se_ca": "video", "se_ac": "play", "se_la": "intro", "se_va": "42"},
     {"name": "play", "props": {"category": "video", "label": "intro", "value": "42"}}),
    ({"e": "ue", "ue_pr": described("sign-up", {"plan": "pro"})},
     {"name": "sign-up", "props": {"plan": "pro"}}),
    ({"e": "ue", "ue_px": packed(described("signup", {"plan": "größe"}))},
     {"name": "signup", "props": {"plan": "größe"}}),
    ({"e": "tr", "tr_id": "o1", "tr_tt": "9.5"},
     {"name": "transaction", "props": {"order": "o1", "total": "9.5"}}),
    ({"e": "ti", "ti_id": "o1", "ti_sk": "s1"},
     {"name": "transaction_item", "props": {"order": "o1", "sku": "s1"}}),
    ({"aid": ""}, {"site": "localhost"}),
    ({"url": ""}, {"path": "/"}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), CASES)
@pytest.mark.parametrize("way", ["get", "post"])
def test_it_translates(
    door: TrackerDoor, way: str, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    sent = VIEW | changes
    if way == "get":
        said = door.get(f"/i?{urlencode(sent)}", origin="https://shop.example")
        assert (said.headers["content-type"], said.body[:6]) == ("image/gif", b"GIF89a")
        assert said.headers["cache-control"] == "no-cache, no-store, must-revalidate"
    else:
        body = {"schema": SCHEMA, "data": [sent]}
        said = door.ask(POST, body, origin="https://shop.example")
        assert said.body == b"ok"
    assert said.status == 200
    assert said.headers["access-control-allow-origin"] == "https://shop.example"
    assert said.headers["access-control-allow-credentials"] == "true"
    assert "set-cookie" not in said.headers
    door.check_event(expected)


def test_a_wrong_clock_does_not_matter(door: TrackerDoor) -> None:
    wrong = int(time.time() * 1_000) - 400 * 86_400_000
    door.ask(POST, {"data": [VIEW | {"dtm": str(wrong), "stm": str(wrong + 30_000)}]})
    event = door.event()
    assert event.received - event.ts == 30_000
    door.ask(POST, {"data": [VIEW | {"dtm": str(wrong)}]})
    event = door.event()
    assert event.received == event.ts


def test_it_knows_users_and_browsers(door: TrackerDoor) -> None:
    changes: list[dict[str, str]] = [{"uid": "u1"}, {"uid": "u1", "duid": "d"}, {"duid": "d"}, {}]
    door.ask(POST, {"data": [VIEW | change for change in changes]})
    visitors = [event.visitor for event in door.events(4)]
    assert len(set(visitors)) == 3


def test_a_browsers_id_does_not_vouch_for_a_person(door: TrackerDoor) -> None:
    door.ask(POST, {"data": [VIEW | {"duid": "d"}]}, user_agent=GOOGLEBOT)
    door.check_event({"bot": "crawler"})


def test_a_server_speaks_for_its_visitor(door: TrackerDoor) -> None:
    changes: list[dict[str, str]] = [{"ua": CHROME, "ip": "203.0.113.7"}, {"ua": GOOGLEBOT}, {}]
    for change in changes:
        door.ask(POST, {"data": [VIEW | change]}, user_agent="python-requests/2.34")
    browser, crawler, unknown = door.events(3)
    assert (browser.browser, browser.bot) == ("Chrome", None)
    assert crawler.bot == "crawler"
    assert (unknown.browser, unknown.bot) == (None, None)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (VIEW | {"aid": "other"}, "aid: this site is not tracked"),
        (VIEW | {"e": "xx"}, "e: must be one of"),
        (VIEW | {"e": ""}, "e: must be one of"),
        (VIEW | {"url": "file:///a"}, "url: must begin"),
        (VIEW | {"e": "se"}, "se_ac: a structured event"),
        (VIEW | {"e": "ue", "ue_px": "%%%"}, "ue_px: it can't be decoded"),
        (VIEW | {"e": "ue", "ue_px": "e"}, "ue_px: it can't be decoded"),
        (VIEW | {"e": "ue", "ue_pr": "{"}, "ue_px: it can't be decoded"),
        (VIEW | {"e": "ue", "ue_pr": "[]"}, "ue_pr: its schema has no name"),
        (VIEW | {"e": "ue"}, "ue_p"),
        (VIEW | {"ttm": "1"}, "ttm: lies before"),
    ],
)
def test_it_takes_whatever_it_is_sent_as_the_collector_does(
    door: TrackerDoor, sent: dict[str, str], said: str
) -> None:
    for answer in (door.ask(POST, {"data": [sent]}), door.get(f"/i?{urlencode(sent)}")):
        assert answer.status == 200
        assert answer.headers["x-tracker-refused"].startswith(said)
    door.no_event()


@pytest.mark.parametrize("sent", [b"", b"{", b"[]", {}, {"data": {}}, {"data": [VIEW] * 1_001}])
def test_what_is_no_payload_is_ok_too(door: TrackerDoor, sent: Any) -> None:
    said = door.ask(POST, sent)
    assert (said.status, said.body) == (200, b"ok")
    assert said.headers["x-tracker-refused"]
    door.no_event()


def test_a_post_keeps_what_is_valid(door: TrackerDoor) -> None:
    said = door.ask(POST, {"data": [VIEW, 5, VIEW | {"e": "x"}, VIEW | {"url": "/b"}]})
    assert said.headers["x-tracker-refused"].endswith("(and 1 more)")
    assert {event.path for event in door.events(2)} == {"/a", "/b"}


def test_browsers_may_send_with_their_cookies(door: TrackerDoor) -> None:
    said = door.ask(
        POST, b"", "OPTIONS", origin="https://a.example", access_control_request_method="POST"
    )
    assert (said.status, said.headers["access-control-allow-origin"]) == (200, "https://a.example")
    assert said.headers["access-control-allow-headers"] == "Content-Type, SP-Anonymous"
