"""A site's page of a period, as the server writes it: beside what the API answers."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from dashboard.bot_reasons import REASONS, mostly, wording_of
from dashboard.panels import PANELS
from dashboard.wording import compact, duration, percent
from ingest.enrichment.bots import BotReason
from ingest.models import Site
from processing.top_values import PROPERTY_OF, Top
from tests.dashboard.counting import CountedStore, local
from tracker_site.embedded.servers import Valkey

DAY = date(2026, 11, 20)
DAYS = {"from": "2026-11-18", "to": str(DAY)}
VIEW = {
    "hostname": "example.com", "source": "Google", "channel": "Organic Search",
    "referrer": "https://www.google.com/", "utm_campaign": "<b>sale</b>", "country": "DE",
    "region": "Bavaria", "language": "de", "browser": "Firefox", "browser_version": "145",
    "os": "Linux", "device": "desktop", "screen": "1920x1080", "screen_class": "laptop",
}  # fmt: skip


@pytest.fixture
def viewer(db: None) -> Client:
    user = User.objects.create_user("viewer")
    user.user_permissions.add(Permission.objects.get(codename="view_site"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def autumn(counted: CountedStore, site: Site) -> CountedStore:
    """Three days, and the three days before them."""
    at = local(DAY, "10:00", "UTC")
    week = 3 * 86_400_000
    counted.count(
        counted.view(site, "/a", "v1", ts=at, **VIEW),
        counted.view(site, "/b", "v1", ts=at + 90_000, **VIEW),
        counted.view(site, "/b", "v1", ts=at + 95_000, name="signup", props={"plan": "pro"}),
        counted.view(site, "/a", "v2", ts=at - 86_400_000, browser="Safari"),
        counted.view(site, "/robots.txt", "b", ts=at, bot="crawler"),
        counted.view(site, "/a", "v3", ts=at - week, browser="Safari"),
        counted.view(site, "/a", "v4", ts=at - week, browser="Safari"),
    )
    return counted


def page(client: Client, **query: str) -> str:
    return answer(client, 200, query)


def answer(client: Client, status: int, query: dict[str, str]) -> str:
    response = client.get("/sites/example.com/", query)
    assert response.status_code == status
    return response.content.decode()


def api(client: Client, endpoint: str, **query: Any) -> Any:
    response = client.get(f"/api/v1/stats/example.com/{endpoint}", query)
    assert response.status_code == 200, response.content
    return response.json()


def figure_of(html: str, name: str) -> str:
    (found,) = re.findall(rf'data-figure="{name}"[^>]*>([^<]*)<', html)
    return str(found)


def rows_of(html: str, dimension: str) -> list[tuple[str, str]]:
    """Text and exact number of each row."""
    (table,) = re.findall(rf'data-dimension="{re.escape(dimension)}">(.*?)</table>', html, re.S)
    found = re.findall(r'<th scope="row"[^>]*title="([^"]*)">.*?<td title="([^"]*)"', table)
    return [(unescape(value), number) for value, number in found]


def test_its_figures_are_the_apis(autumn: CountedStore, viewer: Client) -> None:
    html, totals = page(viewer, **DAYS), api(viewer, "totals", **DAYS)
    for name in ("pageviews", "visitors", "visits", "bots"):
        assert figure_of(html, name) == compact(totals[name])
    assert figure_of(html, "bounce_rate") == percent(totals["bounce_rate"])
    assert figure_of(html, "visit_duration") == duration(totals["visit_duration"])
    assert figure_of(html, "views_per_visit") == f"{totals['views_per_visit']:.1f}"
    assert "Bots, not counted above" in html


def test_its_panels_are_the_apis(autumn: CountedStore, viewer: Client) -> None:
    html = page(viewer, **DAYS)
    shown = set(re.findall(r'data-dimension="([^"]*)"', html))
    for tab in (tab for panel in PANELS for tab in panel.tabs):
        top = api(viewer, "top", dimension=tab.dimension, **DAYS)
        assert (tab.dimension in shown) == bool(top["total"] or not tab.optional)
        if tab.dimension in shown:
            counted = [(row["value"], str(row[top["metric"]])) for row in top["results"]]
            if tab.names == "reason":
                counted = [(wording_of(value).name, count) for value, count in counted]
            assert rows_of(html, tab.dimension) == counted, tab


def test_it_says_why_something_is_a_bot(autumn: CountedStore, viewer: Client) -> None:
    html = page(viewer, **DAYS)
    assert rows_of(html, "bot_reason") == [("Crawlers", "1")]
    assert "Search engines, AI, previews, scripts" in html
    assert "100% crawlers</a>" in html
    chosen = page(viewer, **DAYS, dimension="bot_reason", value="crawler")
    assert [point["views"] for point in chart(chosen)] == [0, 0, 1]
    assert ">Crawlers</bdi>" in chosen


def test_it_has_words_for_every_reason() -> None:
    assert list(REASONS) == list(BotReason)
    counts = {"crawler": 142, "datacenter": 40, "internal": 18}
    top = Top("bots", [{"value": value, "bots": n} for value, n in counts.items()], 200, 0, 3)
    assert mostly(top) == "71% crawlers, 20% data centres"
    assert mostly(Top("bots", [], 0, 0, 0)) == ""


def test_it_says_what_was_before(autumn: CountedStore, viewer: Client) -> None:
    html = page(viewer, **DAYS)
    assert "compared with 15–17 Nov 2026." in html
    assert "<b>+50%</b> was 2" in html


def test_it_compares_today_with_yesterday_until_now(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    # Where it is noon now, neither yesterday nor tomorrow is near.
    ahead = 12 - datetime.now(UTC).hour
    Site.objects.update(time_zone=f"Etc/GMT{-ahead:+d}")
    yesterday = (datetime.now(UTC) - timedelta(days=1)).replace(second=0, microsecond=0)
    times = {
        "before the hour": yesterday.replace(minute=0) - timedelta(minutes=1),
        "a minute before": yesterday - timedelta(minutes=1),
        "later": yesterday + timedelta(minutes=3),
    }
    views = [
        counted.view(site, "/", f"v{n}", ts=round(at.timestamp() * 1000))
        for n, at in enumerate(times.values())
    ]
    counted.count(*views, counted.view(site, "/", "v9"))
    html = page(viewer, period="today")
    assert "was 2</dd>" in html
    assert figure_of(html, "pageviews") == "1"


def test_its_chart_is_the_apis(autumn: CountedStore, viewer: Client) -> None:
    series = api(viewer, "timeseries", **DAYS)["results"]
    assert [point["views"] for point in chart(page(viewer, **DAYS))] == [
        day["pageviews"] for day in series
    ]
    assert [point["before"] for point in chart(page(viewer, **DAYS))] == [0, 0, 2]


def chart(html: str) -> Any:
    (found,) = re.findall(r'<script id="chart-points"[^>]*>(.*?)</script>', html)
    return json.loads(found)["points"]


def test_a_row_leads_to_its_own_chart(autumn: CountedStore, viewer: Client) -> None:
    chosen = DAYS | {"dimension": "browser", "value": "Firefox"}
    assert f'href="?{urlencode(chosen)}"' in unescape(page(viewer, **DAYS))
    html = page(viewer, **chosen)
    series = api(viewer, "timeseries", **chosen)["results"]
    assert [point["pageviews"] for point in series] == [0, 0, 2]
    assert [point["views"] for point in chart(html)] == [0, 0, 2]
    assert "Browser: <bdi>Firefox</bdi>" in html


def test_a_property_leads_to_its_values(autumn: CountedStore, viewer: Client) -> None:
    asked = DAYS | {"dimension": f"{PROPERTY_OF}plan"}
    assert f'href="?{urlencode(asked)}"' in unescape(page(viewer, **DAYS))
    html = page(viewer, **asked)
    assert rows_of(html, f"{PROPERTY_OF}plan") == [("pro", "1")]
    values = asked | {"value": "pro"}
    assert [point["views"] for point in chart(page(viewer, **values))] == [0, 0, 1]


def test_it_lists_what_has_no_room(counted: CountedStore, site: Site, viewer: Client) -> None:
    counted.count(*(counted.view(site, f"/{n:02d}", "v") for n in range(25)))
    html = page(viewer, period="today")
    assert len(rows_of(html, "page")) == 10
    assert '<a href="?period=today&amp;dimension=page">All 25</a>' in html
    assert len(rows_of(page(viewer, period="today", dimension="page"), "page")) == 25


def test_it_tells_what_is_not_kept_one_by_one(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    counted.most_values = 10
    counted.count(*(counted.view(site, f"/{n}", f"v{n}") for n in range(60)))
    counted.count(*(counted.view(site, "/home") for _ in range(40)))
    top = api(viewer, "top", dimension="page")
    html = page(viewer, period="today")
    assert "(other)" in html and top["other"] > 0
    other = re.search(r'data-dimension="page">.*?\(other\)</th><td title="(\d+)">', html, re.S)
    assert other is not None and int(other[1]) == top["other"]


def test_it_writes_what_visitors_send_as_text(autumn: CountedStore, viewer: Client) -> None:
    html = page(viewer, **DAYS)
    assert "&lt;b&gt;sale&lt;/b&gt;" in html and "<b>sale</b>" not in html


@pytest.mark.parametrize("query", [{"period": "year"}, {"from": "x"}, {"from": "2099-01-01"}])
def test_it_says_what_is_wrong_with_its_address(
    counted: CountedStore, site: Site, viewer: Client, query: dict[str, str]
) -> None:
    html = answer(viewer, 400, query)
    assert 'role="alert"' in html and "?period=7d" in html


def test_it_knows_no_other_dimension(counted: CountedStore, site: Site, viewer: Client) -> None:
    answer(viewer, 404, {"period": "today", "dimension": "shoe"})


def test_it_says_that_the_store_is_away(mortal_store: Valkey, site: Site, viewer: Client) -> None:
    mortal_store.stop()
    html = page(viewer, period="7d")
    assert "The live store does not answer" in html and '"state": "unavailable"' in html


def test_it_says_what_the_site_no_longer_keeps(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    Site.objects.update(retention_days=5)
    html = page(viewer, period="7d")
    assert "The site keeps 5 days; what is older is gone" in html
    assert "the days before are not kept any more" in html


def test_it_says_that_a_site_is_new_or_paused(
    counted: CountedStore, site: Site, viewer: Client
) -> None:
    Site.objects.update(active=False)
    html = page(viewer, period="today")
    assert "No page view has come yet." in html and "This site is paused" in html


@pytest.mark.parametrize("address", ["/sites/example.com/?period=7d", "/wall/example.com"])
def test_it_is_for_who_may_view_sites(
    counted: CountedStore, site: Site, viewer: Client, address: str
) -> None:
    stranger = Client()
    assert stranger.get(address).status_code == 302
    stranger.force_login(User.objects.create_user("stranger"))
    assert stranger.get(address).status_code == 403
    assert viewer.get(address).status_code == 200
    assert viewer.get("/wall/other.example").status_code == 404
