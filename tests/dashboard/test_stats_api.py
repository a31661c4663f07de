"""Visits, bots, series, top values and the feed, over counts of the product's own write path."""

from datetime import date
from typing import Any

import pytest
from django.test import Client

from ingest.models import Site
from processing.stats import now_ms
from processing.top_values import PROPERTY_OF
from tests.dashboard.counting import CountedStore, local

DAY = date(2026, 11, 20)
DAYS = {"from": str(DAY), "to": str(DAY)}


def body(client: Client, endpoint: str, **query: Any) -> Any:
    response = client.get(f"/api/v1/stats/example.com/{endpoint}", query)
    assert response.status_code == 200, response.content
    return response.json()


@pytest.fixture
def morning(counted: CountedStore, site: Site) -> CountedStore:
    """Of one day: a visit of two pages and a sign-up, a bounce, and a bot."""
    at = local(DAY, "10:00", "UTC")
    counted.count(
        counted.view(site, "/a", "v1", ts=at, browser="Firefox", browser_version="140"),
        counted.view(site, "/b", "v1", ts=at + 90_000, browser="Firefox", browser_version="139"),
        counted.view(site, "/b", "v1", ts=at + 95_000, name="signup", props={"plan": "pro"}),
        counted.view(site, "/a", "v2", ts=at + 3_600_000, browser="Safari", props={"plan": True}),
        counted.view(site, "/a", "b", ts=at, bot="crawler"),
        counted.view(site, "/robots.txt", "b", ts=at, bot="headless", browser="Crawler"),
    )
    return counted


def test_it_tells_visits_and_bots(morning: CountedStore, reader: Client) -> None:
    assert body(reader, "totals", **DAYS) | {"as_of": None} == {
        "pageviews": 3, "visitors": 2, "bots": 2, "visits": 2, "bounces": 1, "bounce_rate": 50.0,
        "visit_duration": 47.5, "views_per_visit": 1.5, "as_of": None,
    }  # fmt: skip
    assert body(reader, "pages", **DAYS)["results"] == [
        {"path": "/a", "pageviews": 2, "visitors": 2, "bots": 1},
        {"path": "/b", "pageviews": 1, "visitors": 1, "bots": 0},
        {"path": "/robots.txt", "pageviews": 0, "visitors": 0, "bots": 1},
    ]


def test_a_reason_that_counts_as_people_is_no_bots(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    Site.objects.update(bots_as_people="datacenter")
    for reason in ("datacenter", "internal", "internal", None):
        counted.count(counted.view(site, "/", f"{reason}", bot=reason))
    found = body(reader, "top", dimension="bot_reason")
    assert found["results"] == [{"value": "internal", "bots": 2}]
    totals = body(reader, "totals")
    assert (totals["bots"], totals["pageviews"], found["total"]) == (2, 2, 2)


def test_it_knows_no_rate_of_no_visits(counted: CountedStore, site: Site, reader: Client) -> None:
    totals = body(reader, "totals", **DAYS)
    rates = ("bounce_rate", "visit_duration", "views_per_visit")
    assert [totals[name] for name in ("visits", *rates)] == [0, None, None, None]


def test_it_tells_hours_and_days_one_by_one(morning: CountedStore, reader: Client) -> None:
    hours = body(reader, "timeseries", interval="hour", **DAYS)["results"]
    assert len(hours) == 24 and hours[0]["time"] == "2026-11-20T00:00:00+00:00"
    assert [(hour["pageviews"], hour["visits"], hour["bots"]) for hour in hours[9:13]] == [
        (0, 0, 0), (2, 1, 2), (1, 1, 0), (0, 0, 0),
    ]  # fmt: skip
    days = body(reader, "timeseries", **{"from": "2026-11-19", "to": "2026-11-21"})["results"]
    assert [(day["time"], day["visitors"], day["visit_duration"]) for day in days] == [
        ("2026-11-19", 0, None), ("2026-11-20", 2, 47.5), ("2026-11-21", 0, None),
    ]  # fmt: skip


def test_it_tells_minutes_one_by_one(counted: CountedStore, site: Site, reader: Client) -> None:
    now = now_ms()
    counted.count(counted.view(site, ts=now), counted.view(site, ts=now))
    minutes = body(reader, "timeseries", interval="minute")["results"]
    assert len(minutes) == 1_440
    assert [minute["pageviews"] for minute in minutes if minute["pageviews"]] == [2]


def test_it_shows_each_hour_of_a_day_that_has_25(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    Site.objects.update(time_zone="Europe/Berlin")
    hours = body(
        reader, "timeseries", interval="hour", **{"from": "2026-10-25", "to": "2026-10-25"}
    )
    times = [hour["time"][11:] for hour in hours["results"]]
    assert len(times) == 25 and times[2:4] == ["02:00:00+02:00", "02:00:00+01:00"]


TOP = [
    ("page", "pageviews", [("/a", 2), ("/b", 1)]),
    ("entry_page", "visits", [("/a", 2)]),
    ("exit_page", "visits", [("/a", 1), ("/b", 1)]),
    ("browser", "pageviews", [("Firefox", 2), ("Safari", 1)]),
    ("browser_version", "pageviews", [("Firefox 139", 1), ("Firefox 140", 1)]),
    ("country", "pageviews", []),
    ("bot_page", "bots", [("/a", 1), ("/robots.txt", 1)]),
    ("bot_reason", "bots", [("crawler", 1), ("headless", 1)]),
    ("event", "events", [("signup", 1)]),
    ("prop", "events", [("plan", 2)]),
    (f"{PROPERTY_OF}plan", "events", [("pro", 1), ("true", 1)]),
    (f"{PROPERTY_OF}other", "events", []),
]


@pytest.mark.parametrize(("dimension", "metric", "values"), TOP)
def test_it_ranks_the_values_of_a_dimension(
    morning: CountedStore, reader: Client, dimension: str, metric: str, values: list[Any]
) -> None:
    found = body(reader, "top", dimension=dimension, **DAYS)
    assert (found["dimension"], found["metric"]) == (dimension, metric)
    assert found["results"] == [{"value": value, metric: count} for value, count in values]
    assert (found["total"], found["other"]) == (sum(count for _, count in values), 0)
    assert found["values"] == len(values)
    limited = body(reader, "top", dimension=dimension, limit=1, **DAYS)
    assert limited["results"] == found["results"][:1] and limited["total"] == found["total"]


def test_it_tells_what_is_not_kept_value_by_value(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    counted.most_values = 10
    many = [counted.view(site, f"/{n}", f"v{n}", props={"n": n}) for n in range(60)]
    counted.count(*many, *(counted.view(site, "/home") for _ in range(40)))
    top = body(reader, "top", dimension="page")
    assert top["results"][0] == {"value": "/home", "pageviews": 40}
    assert len(top["results"]) == 10
    assert (top["total"], top["other"]) == (100, 51)
    of_property = body(reader, "top", dimension=f"{PROPERTY_OF}n")
    assert (of_property["total"], of_property["other"]) == (60, 50)
    assert body(reader, "totals")["pageviews"] == 100


@pytest.mark.parametrize(
    ("endpoint", "query", "field", "reason"),
    [
        ("top", {}, "dimension", "must be one of page, entry_page"),
        ("top", {"dimension": "shoe"}, "dimension", "prop:<name>"),
        ("top", {"dimension": "page", "limit": "0"}, "limit", "from 1 to 1000"),
        ("timeseries", {"interval": "week"}, "interval", "must be one of minute, hour, day"),
        ("timeseries", {"dimension": "shoe"}, "dimension", "must be one of page, entry_page"),
        (
            "timeseries",
            {"interval": "minute", "from": "2026-11-01", "to": "2026-11-03"},
            "from",
            "more than 2 days by the minute",
        ),
        (
            "timeseries",
            {"interval": "hour", "from": "2026-01-01", "to": "2026-11-03"},
            "from",
            "more than 92 days by the hour",
        ),
    ],
)
def test_it_refuses_naming_field_and_reason(
    counted: CountedStore,
    site: Site,
    reader: Client,
    endpoint: str,
    query: dict[str, str],
    field: str,
    reason: str,
) -> None:
    response = reader.get(f"/api/v1/stats/example.com/{endpoint}", query)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["field"] == field and reason in error["reason"]


NEWS = "https://news.example/of/today"


def test_it_tells_from_where_people_are_here(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    counted.count(
        counted.view(site, "/a", "v1", source="news.example", country="DE", referrer=NEWS),
        counted.view(site, "/b", "v1", country="DE", referrer="https://example.com/a"),
        counted.view(site, "/b", "v2", country="FR"),
        counted.view(site, "/b", "v3"),
    )
    counted.count(counted.view(site, "/c", "v1"))
    found = body(reader, "now")
    assert found["sources"] == [{"source": "news.example", "visitors": 1}]
    assert found["referrers"] == [{"referrer": NEWS, "visitors": 1}]
    assert found["countries"] == [
        {"country": "DE", "visitors": 1},
        {"country": "FR", "visitors": 1},
    ]
    assert found["pages"] == [{"path": "/b", "visitors": 2}, {"path": "/c", "visitors": 1}]


def test_it_feeds_the_last_fifty_events(counted: CountedStore, site: Site, reader: Client) -> None:
    now = now_ms()
    views = [counted.view(site, f"/{n}", received=now - n, id=f"{n}") for n in range(70)]
    counted.count(*views[40:])
    counted.count(*views[:40], counted.view(site, "/bot", bot="Crawler"))
    feed = body(reader, "now")["feed"]
    assert [event["path"] for event in feed] == [f"/{n}" for n in range(50)]
    assert feed[0] == {
        "id": "0",
        "received": now,
        "ts": views[0].ts,
        "name": "pageview",
        "path": "/0",
    }


def test_it_tells_one_value_over_time(morning: CountedStore, reader: Client) -> None:
    asked = {"interval": "hour", **DAYS}
    hours = body(reader, "timeseries", dimension="browser", value="Firefox", **asked)["results"]
    assert hours[10] == {"time": "2026-11-20T10:00:00+00:00", "pageviews": 2}
    assert sum(hour["pageviews"] for hour in hours) == 2
    for dimension, value, metric, total in [
        ("page", "/b", "pageviews", 1),
        ("page", "*b", "pageviews", 0),
        ("entry_page", "/a", "visits", 2),
        ("bot_page", "/a", "bots", 1),
        ("bot_reason", "headless", "bots", 1),
        (f"{PROPERTY_OF}plan", "pro", "events", 1),
    ]:
        days = body(reader, "timeseries", dimension=dimension, value=value, **DAYS)["results"]
        assert days == [{"time": str(DAY), metric: total}]


def test_it_tells_pages_by_the_minute_and_nothing_else(
    counted: CountedStore, site: Site, reader: Client
) -> None:
    counted.count(counted.view(site, "/now", browser="Firefox"))
    asked = {"interval": "minute", "value": "/now"}
    minutes = body(reader, "timeseries", dimension="page", **asked)["results"]
    assert sum(minute["pageviews"] for minute in minutes) == 1
    response = reader.get("/api/v1/stats/example.com/timeseries", asked | {"dimension": "browser"})
    assert response.status_code == 400
    assert "only pages are counted" in response.json()["error"]["reason"]
