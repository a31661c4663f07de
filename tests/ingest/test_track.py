"""`POST /api/v1/track` and `/batch` into a real Kafka."""

import json
import time
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from ingest.client_address import read_networks
from ingest.door import Door, Limits
from ingest.models import Site
from ingest.pageview import PageView, decode, encode
from ingest.rate_limit import TokenBuckets
from processing.log import Log
from tests.conftest import Servers

EVENT = {"user_id": "user123", "page_url": "/home", "timestamp": 1730814562}


def post(body: Any, path: str = "/api/v1/track", **extra: Any) -> Any:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    values = {"content_type": "application/json"} | extra
    return Client().post(path, data, **values)


def logged(servers: Servers, topic: str) -> list[PageView]:
    """Every event in the topic."""
    log = Log(servers.bootstrap_servers, topic)
    ends = log.ends(2)
    return [decode(m.value()) for p in ends if ends[p] for m in log.read(p, 0, ends[p])]


def test_it_accepts_the_documented_request(door: Door, servers: Servers, topic: str) -> None:
    response = post(EVENT)
    assert response.status_code == 202
    answer = response.json()
    assert answer["status"] == "accepted"
    assert UUID(answer["id"]).version == 7
    partition, _, offset = answer["receipt"].partition("-")
    log = Log(servers.bootstrap_servers, topic)
    (message,) = log.read(int(partition), int(offset), int(offset) + 1)
    event = decode(message.value())
    assert (event.id, event.path, event.ts) == (answer["id"], "/home", 1730814562000)
    assert message.key() == event.visitor.encode()
    assert b"user123" not in (message.value() or b"")


def test_it_keeps_every_optional_field(door: Door, servers: Servers, topic: str) -> None:
    full = EVENT | {
        "site": "localhost",
        "event_id": "mine",
        "name": "signup",
        "title": "Home",
        "referrer": "https://news.example/",
        "props": {"plan": "pro", "seats": 3, "trial": True, "gone": None},
        "screen": "1920x1080",
        "language": "en-GB",
        "page_url": "https://www.example.com/a?x=1&utm_source=mail&ref=other#top",
    }
    assert post(full).json()["id"] == "mine"
    (event,) = logged(servers, topic)
    assert event.retryable and event.name == "signup" and event.title == "Home"
    assert (event.hostname, event.path, event.utm_source) == ("www.example.com", "/a", "mail")
    assert event.props == {"plan": "pro", "seats": 3, "trial": True}
    assert (event.screen, event.language) == ("1920x1080", "en-GB")
    assert event.referrer == "https://news.example/"
    assert (event.source, event.channel) == ("mail", "Unassigned")


WINDOWS = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"


def test_it_keeps_what_a_browser_tells_and_neither_its_agent_nor_its_address(
    door: Door, servers: Servers, topic: str, site: Site
) -> None:
    site.path_rules = "drop-slash\n/user/*  -> /user/:id"
    site.save()
    event = {"page_url": "/user/17/", "referrer": "https://www.google.com/?q=x", "time_zone": "UTC"}
    headers = {"User-Agent": WINDOWS, "Sec-CH-UA": '"Brave";v="132"'}
    assert "X-Tracker-Bot" not in post(event, headers=headers)
    (logged_event,) = logged(servers, topic)
    assert logged_event.path == "/user/:id"
    assert (logged_event.browser, logged_event.browser_version) == ("Brave", "132")
    assert (logged_event.os, logged_event.device) == ("Windows", "desktop")
    assert (logged_event.source, logged_event.channel) == ("Google", "Organic Search")
    assert (logged_event.referrer, logged_event.time_zone) == ("https://www.google.com/", "UTC")
    written = encode(logged_event)
    assert b"Mozilla" not in written
    assert b"127.0.0.1" not in written


def test_it_logs_a_bot_with_its_reason_and_tells_the_sender(
    door: Door, servers: Servers, topic: str, site: Site
) -> None:
    assert post({"page_url": "/"}, headers={"User-Agent": "curl/8"})["X-Tracker-Bot"] == "crawler"
    site.internal_addresses = "127.0.0.0/8"
    site.save()
    assert post({"page_url": "/"})["X-Tracker-Bot"] == "internal"
    assert sorted(event.bot or "" for event in logged(servers, topic)) == ["crawler", "internal"]


def test_it_dates_what_waited_by_how_long_it_waited(
    door: Door, servers: Servers, topic: str
) -> None:
    for waited in (90_000, -5_000):
        assert post({"page_url": "/", "queue_time": waited}).status_code == 202
    assert post(EVENT | {"queue_time": 90_000}).status_code == 202
    events = logged(servers, topic)
    waits = sorted(event.received - event.ts for event in events)[:2]
    assert waits == [0, 90_000], "a clock that was set back counts as none"
    assert 1730814562000 in {event.ts for event in events}, "a timestamp says it better"


@pytest.mark.parametrize("header", ["DNT", "Sec-GPC"])
def test_it_honours_opt_outs_where_the_site_does(
    door: Door, site: Site, servers: Servers, topic: str, header: str
) -> None:
    asks: dict[str, Any] = {"headers": {header: "1"}}
    assert post(EVENT, **asks).status_code == 202
    Site.objects.update(honour_opt_out=True)
    response = post(EVENT, **asks)
    assert (response.status_code, response.json()["error"]["field"]) == (403, header)
    assert post(EVENT, headers={header: "0"}).status_code == 202
    assert len(logged(servers, topic)) == 2


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"page_url": None}, 400, "page_url"),
        ({"page_url": ""}, 400, "page_url"),
        ({"page_url": "home"}, 400, "page_url"),
        ({"page_url": "ftp://example.com/"}, 400, "page_url"),
        ({"page_url": "/a\u0000b"}, 400, "page_url"),
        ({"page_url": "/" + "a" * 2_100}, 400, "page_url"),
        ({"page_url": "http://[::1"}, 400, "page_url"),
        ({"timestamp": "yesterday"}, 400, "timestamp"),
        ({"timestamp": True}, 400, "timestamp"),
        ({"timestamp": 1}, 400, "timestamp"),
        ({"timestamp": 10**30}, 400, "timestamp"),
        ({"timestamp": time.time() + 86_400}, 400, "timestamp"),
        ({"props": {"a": {"b": 1}}}, 400, "props"),
        ({"props": {str(n): n for n in range(31)}}, 400, "props"),
        ({"props": {"a": 10**40}}, 400, "props"),
        ({"title": "x" * 1_001}, 400, "title"),
        ({"user_id": ["a"]}, 400, "user_id"),
        ({"event_id": ""}, 400, "event_id"),
        ({"site": "nowhere.example"}, 403, "site"),
    ],
)
def test_it_refuses_naming_field_value_and_reason(
    door: Door, change: dict[str, Any], status: int, field: str
) -> None:
    response = post(EVENT | change)
    assert response.status_code == status
    error = response.json()["error"]
    assert error["field"].startswith(field)
    assert error["reason"]
    value = change[field]
    assert error["value"] is not None or value is None


def test_it_says_which_field_is_missing(door: Door) -> None:
    assert post({"user_id": "u"}).json()["error"]["field"] == "page_url"


@pytest.mark.parametrize("body", [b" ", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_it_refuses_what_is_no_json_object(door: Door, body: bytes) -> None:
    response = post(body)
    assert response.status_code == 400
    assert response.json()["error"]["field"] == "body"


def test_it_refuses_other_media_types_and_large_bodies(door: Door, settings: Any) -> None:
    assert post("a=b", content_type="application/x-www-form-urlencoded").status_code == 415
    large = json.dumps(EVENT | {"title": "x" * settings.MAX_BODY_BYTES})
    assert post(large).status_code == 413
    assert post(EVENT, content_type="text/plain").status_code == 202


def test_it_refuses_inactive_sites_and_foreign_hostnames(door: Door, site: Site) -> None:
    site.allowed_hostnames = "example.com\n*.shop.example"
    site.save()
    for host, status in [
        ("example.com", 202),
        ("a.shop.example", 202),
        ("evil.example", 403),
        ("notexample.com", 403),
    ]:
        assert post(EVENT | {"page_url": f"https://{host}/"}).status_code == status
    site.active = False
    site.save()
    assert post(EVENT).status_code == 403


def test_it_accepts_a_batch_and_refuses_its_bad_events(
    door: Door, servers: Servers, topic: str
) -> None:
    events = [EVENT, {"page_url": 5}, EVENT | {"event_id": "x"}]
    response = post({"events": events}, "/api/v1/track/batch")
    assert response.status_code == 202
    answer = response.json()
    assert (answer["accepted"], answer["refused"]) == (2, 1)
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["accepted", "refused", "accepted"]
    assert answer["results"][1]["error"] == {
        "field": "page_url",
        "value": 5,
        "reason": "Expected `str`, got `int`",
    }
    assert len(logged(servers, topic)) == 2


def test_it_bounds_a_batch(door: Door) -> None:
    path = "/api/v1/track/batch"
    assert post({"events": [EVENT] * 1_000}, path).json()["accepted"] == 1_000
    assert post({"events": [EVENT] * 1_001}, path).status_code == 400
    assert post({"events": []}, path).status_code == 400
    assert post({"events": [{}]}, path).status_code == 400
    assert post({"events": 5}, path).json()["error"]["field"] == "events"


def test_it_lets_browsers_of_every_site_send(door: Door) -> None:
    preflight = Client().options(
        "/api/v1/track",
        headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status_code == 204
    assert preflight["Access-Control-Allow-Origin"] == "*"
    assert "Content-Type" in preflight["Access-Control-Allow-Headers"]
    assert post({"page_url": 1})["Access-Control-Allow-Origin"] == "*"


def test_it_limits_requests_of_one_address(
    door: Door,
) -> None:
    door.limits = Limits(address=TokenBuckets(1, 2, lambda: 0.0))
    answers = [post(EVENT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2]["Retry-After"] == "1"
    assert answers[2].json()["error"]["reason"]


@pytest.mark.parametrize(("trusted", "second"), [([], 429), (["127.0.0.1"], 202)])
def test_it_tells_addresses_apart_by_what_trusted_proxies_say(
    door: Door, monkeypatch: pytest.MonkeyPatch, trusted: list[str], second: int
) -> None:
    """Nobody else gets round the limit by writing X-Forwarded-For."""
    door.limits = Limits(address=TokenBuckets(1, 1, lambda: 0.0))
    monkeypatch.setattr("ingest.request_sender._proxies", read_networks(trusted))
    answers = [post(EVENT, headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(2)]
    assert [answer.status_code for answer in answers] == [202, second]


def test_it_limits_the_events_of_one_site_and_of_no_other(door: Door) -> None:
    Site.objects.create(public_id="other.example")
    door.limits = Limits(site=TokenBuckets(10, 20, lambda: 0.0))
    batch = {"events": [EVENT] * 25}
    assert post(batch, "/api/v1/track/batch").status_code == 202, "a batch is not cut"
    for path, body in (("/api/v1/track", EVENT), ("/api/v1/track/batch", batch)):
        refused = post(body, path)
        assert refused.status_code == 429
        assert refused["Retry-After"] == "1"
        error = refused.json()["error"]
        assert (error["field"], error["value"]) == ("site", "localhost")
        assert "more than 10 events a second" in error["reason"]
    assert post(EVENT | {"site": "other.example"}).status_code == 202
