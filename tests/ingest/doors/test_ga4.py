"""`POST /mp/collect`, GA4's Measurement Protocol."""

from typing import Any

import pytest

from tests.ingest.doors.tracker_door import CHROME, TrackerDoor

pytestmark = [pytest.mark.xdist_group("doors"), pytest.mark.any_database]
PATH = "/mp/collect?measurement_id=G-ABC123&api_secret=s"
PAGE = {"page_location": "https://shop.example/a", "page_title": "A"}


def view(**params: Any) -> dict[str, Any]:
    return {"name": "page_view", "params": PAGE | params}


@pytest.mark.parametrize(
    ("event", "shared", "expected"),
    [
        (view(), {}, {"name": "pageview", "path": "/a", "title": "A", "props": None}),
        (view(page_referrer="https://google.com/"), {}, {"source": "Google"}),
        (view(language="de-de", screen_resolution="1366x768", session_id="1"), {},
         {"language": "de-DE", "screen": "1366x768", "props": None}),
        (view(), {"device": {"language": "fr", "screen_resolution": "1x2"}},
         {"language": "fr", "screen": "1x2"}),
        (view(), {"timestamp_micros": 1_795_168_800_000_000}, {"ts": 1_795_168_800_000}),
        (view() | {"timestamp_micros": "1795168800000000"}, {}, {"ts": 1_795_168_800_000}),
        (view(), {"ip_override": "203.0.113.7", "user_agent": CHROME}, {"browser": "Chrome"}),
        ({"name": "purchase", "params": {"value": 9.5, "items": [{"id": "i1"}]}}, {},
         {"name": "purchase", "path": "/", "props": {"value": 9.5, "items": '[{"id":"i1"}]'}}),
        ({"name": "user_engagement", "params": {"engagement_time_msec": 4_500}}, {},
         {"name": "engagement", "props": {"seconds": 4.5}}),
        ({"name": "signup"}, {}, {"name": "signup"}),
    ],
)  # fmt: skip
def test_it_translates(
    door: TrackerDoor, event: dict[str, Any], shared: dict[str, Any], expected: dict[str, Any]
) -> None:
    sent = {"client_id": "1.2", "events": [event]} | shared
    said = door.ask(PATH, sent, user_agent="python-requests/2.34")
    assert (said.status, said.body) == (204, b"")
    assert "content-type" not in said.headers and "x-tracker-refused" not in said.headers
    door.check_event(expected)


def test_it_knows_users_and_browsers(door: TrackerDoor) -> None:
    for who in ({"client_id": "1.2"}, {"client_id": "1.2", "user_id": "u1"}, {"user_id": "u1"}):
        door.ask(PATH, {"events": [view()]} | who)
    browser, user, again = (event.visitor for event in door.events(3))
    assert user == again != browser


@pytest.mark.parametrize(
    ("path", "sent", "said"),
    [
        ("/mp/collect", {"events": [view()]}, "measurement_id: is needed"),
        (
            "/mp/collect?measurement_id=G-X",
            {"events": [view()]},
            "measurement_id: this site is not tracked",
        ),
        (PATH, b"{", "body: the body is not readable"),
        (PATH, {}, "events: must be an array"),
        (PATH, {"events": []}, "events: must be an array"),
        (PATH, {"events": [view()] * 26}, "events: must be an array"),
        (PATH, {"events": [5]}, "events.name: an event needs"),
        (PATH, {"events": [view(page_location="nowhere")]}, "params.page_location: must begin"),
        (PATH, {"events": [view()], "timestamp_micros": 1}, "timestamp_micros: lies before"),
    ],
)
def test_it_never_says_what_is_wrong_but_in_a_header(
    door: TrackerDoor, path: str, sent: Any, said: str
) -> None:
    answer = door.ask(path, sent)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["x-tracker-refused"].startswith(said)
    door.no_event()


def test_it_keeps_what_is_valid(door: TrackerDoor) -> None:
    said = door.ask(PATH, {"client_id": "1.2", "events": [view(), {}, {"name": "signup"}]})
    assert said.headers["x-tracker-refused"].startswith("events.name:")
    assert {event.name for event in door.events(2)} == {"pageview", "signup"}
