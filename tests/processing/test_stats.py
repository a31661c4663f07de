"""What the live page reads: minutes, the last minute, pages, who is here."""

from typing import Any

import pytest

from ingest.models import Site
from ingest.pageview import PageView
from processing import keys
from processing.aggregation import Aggregator, Portion
from processing.calendar import day_start, today
from processing.counters import APPLIED, Counters, Range, connect
from processing.duplicates import DuplicateWindows
from processing.rules import Retention
from processing.site_rules import rules_of
from processing.stats import Stats, now_ms
from tests.conftest import Servers

SITE = Site(public_id="example.com", name="Example", time_zone="Pacific/Auckland")
SITE.allowed_hostnames = "*.shop.example"
WINDOWS = DuplicateWindows(recent=600_000, backfill=30 * 86_400_000)


class Live:
    """A store into which events are counted as they arrive, at a time that tests choose.

    The time lies in this very minute, because Redis itself lets keys expire.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self.stats = Stats(client, 1, "topic")
        self.minute = now_ms() // 60_000
        self._offset = 0

    def at(self, second: float, minute: int = 0) -> int:
        """Unix ms of a second of this minute, or of one so many minutes from it."""
        return (self.minute + minute) * 60_000 + round(second * 1000)

    def view(self, received: int, path: str = "/", visitor: str = "v1", **fields: Any) -> PageView:
        values: dict[str, Any] = {"id": "x", "ts": received, "received": received}
        return PageView(site=SITE.public_id, path=path, visitor=visitor, **(values | fields))

    def arrive(self, received: int, path: str = "/", visitor: str = "v1", **fields: Any) -> None:
        self.count(self.view(received, path, visitor, **fields))

    def count(self, *events: PageView) -> None:
        """One batch, as its last event arrives."""
        aggregator = Aggregator(
            0, 1, lambda _: rules_of(SITE), Retention(172_800, 7_776_000), WINDOWS
        )
        counters = Counters(self.client, 1)
        known = counters.look_up(aggregator.lookups(events))
        deltas = aggregator.aggregate([Portion(0, events)], known, events[-1].received // 1000)
        ranges = [Range(0, self._offset, self._offset + len(events))]
        assert counters.apply(0, "log", ranges, deltas).result == APPLIED
        self._offset += len(events)

    def state(self, now: int) -> dict[str, Any]:
        return self.stats.live(SITE, now)


@pytest.fixture
def live(embedded_servers: Servers) -> Any:
    with connect(embedded_servers.redis_url) as client:
        client.flushall()
        yield Live(client)


def test_it_shows_the_last_thirty_minutes_by_arrival(live: Live) -> None:
    for minute in (-31, -30, -29, -1, 0):
        live.arrive(live.at(59, minute))
    live.arrive(live.at(0), ts=live.at(0) - 30 * 86_400_000)
    state = live.state(live.at(59.9))
    assert [minute for minute, _ in state["minutes"]] == list(
        range(live.minute - 29, live.minute + 1)
    )
    counted = {minute - live.minute: views for minute, views in state["minutes"] if views}
    assert counted == {-29: 1, -1: 1, 0: 2}
    assert state["pages"] == [{"path": "/", "views": 4, "visitors_now": 1}]


@pytest.mark.parametrize(
    ("arrived", "now", "views"),
    [
        ((10, 0), (10, 0), 1),
        ((10, -1), (9.9, 0), 1),
        ((10, -1), (10, 0), 0),
        ((59, -1), (0, 0), 1),
        ((0, -1), (0, 0), 0),
        ((0, -1), (59, -1), 1),
        ((0, 0), (59.9, 0), 1),
        ((59, -2), (0, 0), 0),
    ],
)
def test_it_counts_the_last_sixty_seconds(
    live: Live, arrived: tuple[float, int], now: tuple[float, int], views: int
) -> None:
    live.arrive(live.at(*arrived))
    assert live.state(live.at(*now))["views_last_minute"] == views


def test_it_counts_today_in_the_sites_time_zone(live: Live) -> None:
    now = live.at(30)
    start = day_start(today(SITE.time_zone, now), SITE.time_zone) * 1000
    live.arrive(now, visitor="a", ts=start)
    live.arrive(now, visitor="b", ts=start - 1)
    live.arrive(now, visitor="a", ts=now)
    state = live.state(now)
    assert (state["views_today"], state["visitors_today"]) == (2, 1)
    assert state["visitors_now"] == 2


def test_it_ranks_pages_and_tells_who_is_on_them(live: Live) -> None:
    now = live.at(30)
    for path, visitor in [("/b", "v1"), ("/a", "v2"), ("/b", "v3"), ("/a", "v1"), ("/c", "v4")]:
        live.arrive(now, path, visitor)
    assert live.state(now)["pages"] == [
        {"path": "/a", "views": 2, "visitors_now": 2},
        {"path": "/b", "views": 2, "visitors_now": 1},
        {"path": "/c", "views": 1, "visitors_now": 1},
    ]


def test_it_shows_fifty_pages_at_most(live: Live) -> None:
    for n in range(55):
        live.arrive(live.at(0), f"/{n:02d}")
    paths = [page["path"] for page in live.state(live.at(1))["pages"]]
    assert paths == [f"/{n:02d}" for n in range(50)]


def test_it_counts_custom_events_as_presence_but_not_as_views(live: Live) -> None:
    live.arrive(live.at(0), "/signup", name="signup")
    state = live.state(live.at(1))
    assert (state["views_last_minute"], state["views_today"], state["pages"]) == (0, 0, [])
    assert (state["visitors_now"], state["visitors_today"]) == (1, 1)


def test_it_forgets_who_was_silent_for_five_minutes(live: Live) -> None:
    live.arrive(live.at(0, -5), "/a", "old")
    live.arrive(live.at(0, -4), "/b", "new")
    assert live.stats.now(SITE, live.at(0))["visitors"] == 2
    now = live.stats.now(SITE, live.at(0) + 1)
    assert (now["visitors"], now["pages"]) == (1, [{"path": "/b", "visitors": 1}])
    assert live.stats.now(SITE, live.at(1, 1))["visitors"] == 0


def test_it_drops_the_silent_from_the_store(live: Live) -> None:
    live.arrive(live.at(0, -11), visitor="long ago")
    live.arrive(live.at(0), visitor="now")
    assert live.client.zrange("{s00}:example.com:now", 0, -1) == [b"now"]
    assert live.client.hkeys("{s00}:example.com:now:pages") == [b"now"]
    for key in ("{s00}:example.com:now", "{s00}:example.com:now:pages"):
        assert 590 <= live.client.ttl(key) <= 600


def test_it_shows_the_page_a_visitor_came_to_last(live: Live) -> None:
    live.arrive(live.at(20), "/second")
    live.arrive(live.at(10), "/first")
    assert live.stats.now(SITE, live.at(21))["pages"] == [{"path": "/second", "visitors": 1}]


# What a page view says of where its visitor came from: another site, nothing, this site.
GOOGLE = {"source": "Google", "referrer": "https://www.google.com/"}
DIRECT: dict[str, str] = {}
WITHIN = {"referrer": "https://example.com/"}
# The same of a page view that does not know its host.
UNKNOWN_WITHIN = [{"source": name} for name in ("example.com", "blog.example.com", "shop.example")]
TAGGED = {"source": "newsletter", "referrer": "https://example.com/"}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("came", "source"),
    [
        ([GOOGLE, WITHIN, DIRECT], "Google"),
        *(([GOOGLE, within], "Google") for within in UNKNOWN_WITHIN),
        ([DIRECT, GOOGLE, WITHIN], "Google"),
        ([GOOGLE, TAGGED, WITHIN], "newsletter"),
        ([DIRECT, WITHIN], None),
        *(([within], None) for within in UNKNOWN_WITHIN),
        ([{"source": "notexample.com"}], "notexample.com"),
    ],
)
def test_it_keeps_the_source_that_brought_a_visitor(
    live: Live, came: list[dict[str, str]], source: str | None, together: bool
) -> None:
    """Whether the page views are counted one by one or at once."""
    views = [live.view(live.at(n), **fields) for n, fields in enumerate(came)]
    for batch in [views] if together else [[view] for view in views]:
        live.count(*batch)
    expected = [{"source": source, "visitors": 1}] if source else []
    assert live.stats.now(SITE, live.at(30))["sources"] == expected
    newest = live.stats.feed(SITE)[0]
    assert newest.get("source") == (
        None if came[-1] in (DIRECT, WITHIN, *UNKNOWN_WITHIN) else source
    )


def test_it_forgets_the_source_with_the_visitor(live: Live) -> None:
    live.arrive(live.at(0, -11), **GOOGLE)
    live.arrive(live.at(0, -9), visitor="other", **GOOGLE)
    live.arrive(live.at(0), **WITHIN)
    live.arrive(live.at(0), visitor="other", **WITHIN)
    sources = live.stats.now(SITE, live.at(1))["sources"]
    assert sources == [{"source": "Google", "visitors": 1}]


def test_it_tells_that_counts_changed(live: Live) -> None:
    other = Site(public_id="other.example")
    before = live.stats.revision([SITE, other])
    live.arrive(live.at(0))
    after = live.stats.revision([SITE, other])
    assert after[0] != before[0] and after[1] == before[1]


def test_it_shows_zeros_for_a_silent_site(live: Live) -> None:
    state = live.state(live.at(0))
    assert state["name"] == "Example" and state["time_zone"] == "Pacific/Auckland"
    assert (state["visitors_now"], state["views_last_minute"], state["views_today"]) == (0, 0, 0)
    assert [views for _, views in state["minutes"]] == [0] * 30
    assert state["pages"] == [] and state["as_of"]["state"] == "unknown"


def test_an_emptied_store_with_nothing_to_count_is_not_rebuilding(live: Live) -> None:
    live.client.hset(keys.rebuilding("topic"), mapping={"log:0": 0, "total": 0})
    assert live.stats.as_of(now_ms())["state"] == "unknown"
