"""The plain recount itself: what it counts where, the duplicate rule, the HyperLogLog."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.pageview import PageView
from processing.counters import connect
from processing.dimensions import count_by_event
from processing.duplicates import DuplicateWindows
from processing.history import Event
from processing.hyperloglog import HyperLogLog
from processing.recount import Number, Recount, SiteDay, local_hour
from processing.rules import SiteRules
from tests.conftest import Servers

NOW = 1_790_000_000_000
MINUTE_MS, DAY_MS = 60_000, 86_400_000
WINDOWS = DuplicateWindows(recent=10 * MINUTE_MS, backfill=30 * DAY_MS)


class Everything:
    """A scope of all numbers; `noted` are the (partition, offset) of Redis' duplicates."""

    def __init__(self, *noted: tuple[int, int]) -> None:
        self._noted = noted

    def holds(self, day: SiteDay, number: Number, event: Event) -> bool:
        return True

    def in_ledger(self, shard: int, event: Event) -> bool:
        return True

    def noted_duplicate(self, shard: int, event: Event) -> bool:
        return event[1:3] in self._noted


def event(partition: int, offset: int, **fields: Any) -> Event:
    values: dict[str, Any] = {"id": "x", "site": "s", "visitor": "v", "path": "/"}
    values |= {"ts": NOW, "received": NOW}
    return Event("log", partition, offset, PageView(**(values | fields)))


def recount(*events: Event, scope: Everything | None = None) -> Recount:
    rules = SiteRules("America/New_York", 90)
    recounted = Recount(scope or Everything(), lambda _: rules, lambda _: 0, WINDOWS)
    for one in events:
        recounted.count(one)
    recounted.finish()
    return recounted


def ledger(recounted: Recount) -> dict[str, int]:
    totals: dict[str, int] = {}
    for (_, _, _, category), events in recounted.ledger.items():
        totals[category] = totals.get(category, 0) + events
    return {category: events for category, events in totals.items() if events}


def test_it_counts_on_the_sites_clock() -> None:
    """2026-03-08 04:30 UTC is 2026-03-07 23:30 in New York."""
    ts = round(datetime(2026, 3, 8, 4, 30, tzinfo=UTC).timestamp() * 1000)
    recounted = recount(event(0, 0, path="/a", ts=ts, received=ts))
    day = SiteDay("s", 20260307)
    assert set(recounted.counts) == set(recounted.visitors) == {day}
    buckets = {("m", ts // 60_000), ("h", ts // 1000 - 1_800), ("d", 20260307)}
    assert {number[:2] for number in recounted.counts[day]} == buckets
    assert set(recounted.counts[day].values()) == {1}
    assert {number.field for number in recounted.counts[day]} == {
        "*", "/a", "*v", "*o", "</a", ">/a",
    }  # fmt: skip


def test_it_writes_numbers_as_counting_does() -> None:
    props = {"huge": 1e300, "tiny": 1.5e-7, "whole": 1e16, "minus": -0.0, "true": True}
    sent = event(0, 0, props=props)
    assert sent.page_view is not None
    (recounted,) = recount(sent).counts.values()
    assert set(count_by_event([sent.page_view])) <= {number.field for number in recounted}


def test_it_tallies_arrivals_on_the_sites_clock() -> None:
    """What happened on 7 March in New York arrived at 00:30:07 of the 8th."""
    ts = round(datetime(2026, 3, 8, 4, 30, tzinfo=UTC).timestamp() * 1000)
    received = ts + 3_607_000
    fields: dict[str, Any] = {"ts": ts, "received": received, "path": "/a", "retryable": True}
    again = event(0, 1, **fields)
    recounted = recount(event(0, 0, **fields), again, event(0, 2, **fields | {"bot": "b", "id": 1}))
    day, minute = SiteDay("s", 20260308), received // 60_000
    assert recounted.arrivals == {
        day: {
            Number("ledger", 20260308, "counted", False): 1,
            Number("ledger", 20260308, "duplicate", False): 1,
            Number("ledger", 20260308, "bot", False): 1,
            **{Number("live", minute, field, False): 1 for field in ("/a", "*", "@07")},
        }
    }


def test_it_takes_no_custom_event_for_a_page_view() -> None:
    recounted = recount(event(0, 0, name="signup"))
    assert ledger(recounted) == {"counted": 1}
    fields = {number.field for numbers in recounted.counts.values() for number in numbers}
    assert fields == {"*v", "esignup"}
    assert {n.field for numbers in recounted.visitors.values() for n in numbers} == {"*"}


@pytest.mark.parametrize(
    ("fields", "category"),
    [
        ({}, "counted"),
        ({"bot": "crawler"}, "bot"),
        ({"ts": NOW - 90 * DAY_MS}, "counted"),
        ({"ts": NOW - 90 * DAY_MS - 1}, "late"),
    ],
)
def test_it_puts_each_event_into_one_category(fields: dict[str, Any], category: str) -> None:
    assert ledger(recount(event(0, 0, **fields))) == {category: 1}


def test_it_tallies_what_cannot_be_read() -> None:
    assert ledger(recount(Event("log", 0, 0, None))) == {"invalid": 1}


STEP = 10 * MINUTE_MS
START = NOW - NOW % STEP


@pytest.mark.parametrize(
    ("first", "second", "duplicates"),
    [
        ({"retryable": False}, {"retryable": False}, 0),
        ({}, {}, 1),
        ({}, {"id": "y"}, 0),
        ({}, {"site": "t"}, 0),
        ({"received": START}, {"received": START + 2 * STEP - 1, "ts": START + STEP}, 1),
        ({"received": START}, {"received": START + 2 * STEP, "ts": START + 2 * STEP}, 0),
        # Late by more than the window: remembered for thirty days.
        ({"ts": NOW - DAY_MS}, {"ts": NOW - DAY_MS, "received": NOW + 29 * DAY_MS}, 1),
        ({"ts": NOW - DAY_MS}, {"ts": NOW - DAY_MS, "received": NOW + 61 * DAY_MS}, 0),
        # An old one and a recent one are copies if they arrived close to each other.
        ({}, {"ts": NOW - DAY_MS, "received": NOW + MINUTE_MS}, 1),
        ({"ts": NOW - DAY_MS}, {"received": NOW + MINUTE_MS}, 1),
        ({"ts": NOW - DAY_MS}, {"received": NOW + 30 * MINUTE_MS, "ts": NOW + 30 * MINUTE_MS}, 0),
    ],
)
def test_it_knows_duplicates(
    first: dict[str, Any], second: dict[str, Any], duplicates: int
) -> None:
    defaults = {"retryable": True}
    found = ledger(recount(event(0, 0, **(defaults | first)), event(0, 1, **(defaults | second))))
    assert found.get("duplicate", 0) == duplicates


def test_it_believes_redis_about_the_order_of_partitions() -> None:
    twins = event(0, 0, retryable=True, path="/a"), event(1, 0, retryable=True, path="/b")
    assert paths(recount(*twins)) == {"/a"}
    assert paths(recount(*twins, scope=Everything((0, 0)))) == {"/b"}
    assert paths(recount(*twins, scope=Everything((1, 0)))) == {"/a"}


def test_it_does_not_believe_redis_without_a_twin_in_another_partition() -> None:
    only = event(0, 0, retryable=True)
    assert ledger(recount(only, scope=Everything((0, 0)))) == {"counted": 1}
    twins = event(0, 0, retryable=True), event(0, 1, retryable=True)
    assert ledger(recount(*twins, scope=Everything((0, 0))))["counted"] == 2
    both = event(0, 0, retryable=True), event(1, 0, retryable=True)
    assert ledger(recount(*both, scope=Everything((0, 0), (1, 0))))["counted"] == 2
    assert ledger(recount(*both, scope=Everything())) == {"counted": 1, "duplicate": 1}


def paths(recounted: Recount) -> set[str]:
    fields = {number.field for views in recounted.counts.values() for number in views}
    return {field for field in fields if field.startswith("/")}


def test_hours_of_clocks_that_change_begin_where_they_are_shown() -> None:
    """Lord Howe turns its clock by half an hour: 01:45 comes twice, of two hours."""
    first = round(datetime(2026, 4, 4, 14, 45, tzinfo=UTC).timestamp())
    day, hour = local_hour("Australia/Lord_Howe", first // 900)
    assert (day, hour) == (20260405, first - 2_700)


@pytest.mark.parametrize("visitors", [0, 1, 2, 100, 256, 257, 1_000, 20_000])
def test_a_hyperloglog_counts_what_redis_counts(embedded_servers: Servers, visitors: int) -> None:
    names = [f"visitor {n} é" for n in range(visitors)]
    here = HyperLogLog()
    for name in names:
        here.add(name)
    with connect(embedded_servers.redis_url) as client:
        client.delete("visitors")
        for at in range(0, visitors, 1_000):
            client.pfadd("visitors", *names[at : at + 1_000])
        assert here.count() == client.pfcount("visitors")
