"""`POST /api/event`, as Plausible's scripts and servers send it."""

from typing import Any

import pytest

from tests.ingest.doors.tracker_door import GOOGLEBOT, SITE, Said, TrackerDoor

pytestmark = [pytest.mark.xdist_group("doors"), pytest.mark.any_database]
PATH = "/api/event"
VIEW = {"n": "pageview", "u": "https://shop.example/a?utm_source=news", "d": SITE}


def is_ok(said: Said) -> bool:
    assert said.headers["access-control-allow-origin"] == "*"
    return (said.status, said.body) == (202, b"ok")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (VIEW, {"name": "pageview", "path": "/a", "hostname": SITE, "utm_source": "news"}),
        ({"name": "pageview", "url": "https://shop.example/", "domain": SITE}, {"path": "/"}),
        ({"n": "pageview", "u": "https://www.shop.example/x"}, {"hostname": "www.shop.example"}),
        (VIEW | {"d": f" www.{SITE} "}, {"path": "/a"}),
        (VIEW | {"d": "stats.shop.example"}, {"path": "/a"}),
        (VIEW | {"r": "https://google.com/", "u": "https://shop.example/"}, {"source": "Google"}),
        (VIEW | {"r": None}, {"referrer": None}),
        (VIEW | {"w": 1536}, {"screen_class": "desktop"}),
        (VIEW | {"h": 1, "u": "https://shop.example/app#/list"}, {"path": "/app/list"}),
        (VIEW | {"u": "https://shop.example/app#/list"}, {"path": "/app"}),
        (VIEW | {"source": "old"}, {"utm_source": "news"}),
        ({"n": "pageview", "u": "https://shop.example/", "d": SITE, "source": "old"},
         {"utm_source": "old"}),
        (VIEW | {"n": "Signup", "p": {"plan": "pro", "n": 3, "list": [1], "no": None, "": "x"}},
         {"name": "Signup", "props": {"plan": "pro", "n": 3, "list": "[1]"}}),
        (VIEW | {"n": "Signup", "p": '{"plan":"pro"}'}, {"props": {"plan": "pro"}}),
        (VIEW | {"n": "Signup", "m": '{"plan"'}, {"props": None}),
        (VIEW | {"n": 404}, {"name": "404"}),
        (VIEW | {"n": "Buy", "$": {"amount": "9.5", "currency": "EUR"}},
         {"props": {"revenue.amount": "9.5", "revenue.currency": "EUR"}}),
        (VIEW | {"n": "engagement", "sd": 70, "e": 12_500},
         {"name": "engagement", "props": {"seconds": 12.5, "scroll_depth": 70}}),
        (VIEW | {"n": "engagement", "sd": 300}, {"props": {"scroll_depth": 100}}),
        (VIEW | {"n": "x" * 120}, {"name": "x" * 100}),
    ],
)  # fmt: skip
def test_it_translates(door: TrackerDoor, sent: dict[str, Any], expected: dict[str, Any]) -> None:
    said = door.ask(PATH, sent, content_type="text/plain")
    assert is_ok(said)
    assert "x-plausible-dropped" not in said.headers
    door.check_event(expected)


def test_it_counts_for_several_domains(door: TrackerDoor) -> None:
    said = door.ask(PATH, VIEW | {"d": f"{SITE},nowhere.example,localhost"})
    assert is_ok(said)
    assert said.headers["x-plausible-dropped"] == "1"
    assert {event.site for event in door.events(2)} == {SITE, "localhost"}


def test_it_drops_what_is_of_an_unknown_site_as_plausible_does(door: TrackerDoor) -> None:
    said = door.ask(PATH, VIEW | {"d": "nowhere.example"})
    assert is_ok(said)
    assert said.headers["x-plausible-dropped"] == "1"
    assert said.headers["x-tracker-refused"].startswith("domain: this site is not tracked here")
    door.no_event()


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (b"", "request"),
        (b"{", "request"),
        (b"[]", "request"),
        (b"\xff", "request"),
        ({}, "url"),
        (VIEW | {"u": None}, "url"),
        (VIEW | {"u": 5}, "url"),
        (VIEW | {"u": "data:text/html,x"}, "url"),
        (VIEW | {"u": "https://shop.example/" + "a" * 4_100}, "url"),
        (VIEW | {"u": "https://shop.example/\u0000"}, "url"),
        (VIEW | {"n": None}, "event_name"),
        (VIEW | {"n": []}, "event_name"),
        (VIEW | {"d": ","}, "domain"),
        (VIEW | {"n": "engagement"}, "event_name"),
        (VIEW | {"n": "engagement", "e": "soon"}, "event_name"),
    ],
)
def test_it_says_what_is_wrong(door: TrackerDoor, sent: Any, field: str) -> None:
    said = door.ask(PATH, sent)
    assert said.status == 400
    assert said.headers["content-type"].startswith("application/json")
    ((name, (reason,)),) = said.json["errors"].items()
    assert name == field and reason
    door.no_event()


def test_a_crawler_is_counted_as_one(door: TrackerDoor) -> None:
    said = door.ask(PATH, VIEW, user_agent=GOOGLEBOT)
    assert is_ok(said)
    assert said.headers["x-tracker-bot"] == "crawler"
    door.check_event({"bot": "crawler"})


def test_browsers_may_send_from_any_origin(door: TrackerDoor) -> None:
    said = door.ask(
        PATH, b"", "OPTIONS", origin="https://shop.example", access_control_request_method="POST"
    )
    assert (said.status, said.body) == (204, b"")
    assert said.headers["access-control-allow-origin"] == "*"
    assert "POST" in said.headers["access-control-allow-methods"]


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_it_is_only_posted_to(door: TrackerDoor, method: str) -> None:
    said = door.ask(PATH, method=method)
    assert (said.status, said.headers["allow"]) == (405, "POST, OPTIONS")
