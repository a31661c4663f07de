"""`GET /api/v1/track.gif`: a page view by an image."""

from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from ingest.door import Door
from ingest.models import Site
from tests.conftest import Servers
from tests.ingest.test_track import logged

PIXEL = "/api/v1/track.gif"


def get(query: str = "", **headers: str) -> Any:
    return Client().get(f"{PIXEL}?{query}", headers=headers)


def test_it_counts_the_page_that_the_browser_names(
    door: Door, servers: Servers, topic: str
) -> None:
    response = get("site=localhost", referer="https://shop.example/a?x=1&utm_source=mail")
    assert (response.status_code, response["Content-Type"]) == (200, "image/gif")
    assert response.content.startswith(b"GIF89a\x01\x00\x01\x00")
    assert response["Cache-Control"] == "no-store"
    (event,) = logged(servers, topic)
    assert (event.name, event.hostname, event.path) == ("pageview", "shop.example", "/a")
    assert event.utm_source == "mail" and not event.retryable


def test_it_takes_what_the_query_says(door: Door, servers: Servers, topic: str) -> None:
    values = {
        "page_url": "/b",
        "event_id": "mine",
        "name": "opened",
        "title": "Größe & Maß",
        "referrer": "https://news.example/",
        "props": "ignored",
    }
    assert get(urlencode(values), referer="https://shop.example/").status_code == 200
    (event,) = logged(servers, topic)
    assert (event.path, event.id, event.name) == ("/b", "mine", "opened")
    assert (event.title, event.referrer) == ("Größe & Maß", "https://news.example/")
    assert event.retryable and event.props is None


@pytest.mark.parametrize(
    ("query", "headers", "status", "field"),
    [
        ("", {}, 400, "page_url"),
        ("page_url=home", {}, 400, "page_url"),
        ("page_url=/&site=nowhere.example", {}, 403, "site"),
        ("", {"referer": "about:blank"}, 400, "page_url"),
        ("&".join(f"a{n}=1" for n in range(100)), {}, 400, "query"),
        ("page_url=/" + "a" * 5_000, {}, 400, "page_url"),
        ("page_url=/%00", {}, 400, "page_url"),
        ("page_url=%ff%fe", {}, 400, "page_url"),
        ("site=localhost&title=" + "x" * 1_001, {"referer": "https://a.example/"}, 400, "title"),
    ],
)
def test_it_refuses_as_the_other_endpoints_do(
    door: Door, query: str, headers: dict[str, str], status: int, field: str
) -> None:
    response = get(query, **headers)
    assert (response.status_code, response["Content-Type"]) == (status, "application/json")
    assert response.json()["error"]["field"] == field


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE"])
def test_it_is_only_got(door: Door, servers: Servers, topic: str, method: str) -> None:
    response = Client().generic(method, f"{PIXEL}?page_url=/")
    assert (response.status_code, response["Allow"]) == (405, "GET")
    assert logged(servers, topic) == []


def test_it_tells_why_it_takes_a_sender_for_a_bot(door: Door) -> None:
    response = get("page_url=/", user_agent="curl/8.5.0")
    assert (response.status_code, response["X-Tracker-Bot"]) == (200, "crawler")
    assert response["Content-Type"] == "image/gif"


def test_it_honours_opt_outs(door: Door, site: Site) -> None:
    Site.objects.update(honour_opt_out=True)
    response = get("page_url=/", dnt="1")
    assert (response.status_code, response.json()["error"]["field"]) == (403, "DNT")
