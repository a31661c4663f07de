"""The aggregation and the apply script against a slow, obviously right reference."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.models import Site
from ingest.pageview import PageView
from processing.aggregation import Aggregator, Retention, SiteRules
from processing.counters import APPLIED, KNOWN, MOVED, Counters, Range, connect
from processing.duplicates import DuplicateWindows
from processing.stats import Stats
from tests.conftest import Servers

NOW_S = 1_790_000_000
WINDOWS = DuplicateWindows(recent=600_000, backfill=30 * 86_400_000)
SITE = Site(public_id="a.example", time_zone="Europe/Berlin", retention_days=400)
RULES = SiteRules("Europe/Berlin", 400)

events = st.builds(
    PageView,
    id=st.sampled_from("abcdef"),
    site=st.just(SITE.public_id),
    visitor=st.sampled_from(["v1", "v2", "v3"]),
    path=st.sampled_from(["/", "/x", "/*", "/ü"]),
    received=st.integers(0, 7).map(lambda n: (NOW_S - 2_000 + n * 250) * 1_000),
    ts=st.sampled_from([0, 60, 601, 3_600, 86_400, 86_400 * 100, 86_400 * 500]).map(
        lambda ago: (NOW_S - 2_000 - ago) * 1_000
    ),
    name=st.sampled_from(["pageview", "pageview", "signup"]),
    retryable=st.booleans(),
)


def day_of(ms: int) -> int:
    """The site's day, as 20261123."""
    moment = datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo("Europe/Berlin"))
    return int(moment.strftime("%Y%m%d"))


@dataclass
class Reference:
    """Counts one event after the other with plain dictionaries and sets."""

    ids: dict[str, list[PageView]] = field(default_factory=dict)
    views: Counter[tuple[int, str]] = field(default_factory=Counter)
    visitors: dict[int, set[str]] = field(default_factory=dict)
    ledger: Counter[str] = field(default_factory=Counter)
    site_ledger: Counter[tuple[int, str]] = field(default_factory=Counter)

    def count(self, event: PageView) -> None:
        category = self._count(event)
        self.ledger[category] += 1
        self.site_ledger[day_of(event.received), category] += 1

    def _count(self, event: PageView) -> str:
        if event.retryable:
            if any(self._repeats(event, other) for other in self.ids.get(event.id, [])):
                return "duplicate"
            self.ids.setdefault(event.id, []).append(event)
        if event.received - event.ts > 400 * 86_400_000:
            return "late"
        day = day_of(event.ts)
        self.visitors.setdefault(day, set()).add(event.visitor)
        if event.name == "pageview":
            self.views[day, event.path] += 1
        return "counted"

    @staticmethod
    def _repeats(event: PageView, other: PageView) -> bool:
        """Whether they are copies: close in arrival, or both old and not too far apart."""
        if abs(event.received // 600_000 - other.received // 600_000) <= 1:
            return True
        month = 30 * 86_400_000
        both_old = all(e.received - e.ts > 600_000 for e in (event, other))
        return both_old and abs(event.received // month - other.received // month) <= 1


def aggregator() -> Aggregator:
    return Aggregator(0, 1, lambda _: RULES, Retention(48 * 3_600, 90 * 86_400), WINDOWS)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(log=st.lists(events, max_size=40), cuts=st.lists(st.integers(1, 15), min_size=1))
def test_it_counts_what_the_reference_counts_however_the_log_is_cut(
    embedded_servers: Servers, log: list[PageView], cuts: list[int]
) -> None:
    client = connect(embedded_servers.redis_url)
    client.flushall()
    counters, reference = Counters(client, 1), Reference()
    at, turn = 0, 0
    while at < len(log):
        batch = log[at : at + cuts[turn % len(cuts)]]
        worker = aggregator()
        deltas = worker.aggregate(batch, counters.known_ids(worker.lookups(batch)), NOW_S)
        offsets = Range("t", 0, at, at + len(batch))
        assert counters.apply(0, offsets, deltas).result == APPLIED
        # A zombie that applies the same batch again changes nothing.
        assert counters.apply(0, offsets, deltas).result == MOVED
        at, turn = at + len(batch), turn + 1
    for event in log:
        reference.count(event)
    check(Stats(client, 1, "topic"), client, reference)


def check(stats: Stats, client: Any, reference: Reference) -> None:
    ledger = {
        k.decode().partition(":")[2]: int(v) for k, v in client.hgetall("{s00}:ledger:t").items()
    }
    assert ledger == dict(reference.ledger)
    for day in {day for day, _ in reference.site_ledger}:
        found = client.hgetall(f"{{s00}}:{SITE.public_id}:ledger:{day}")
        expected = {c: n for (d, c), n in reference.site_ledger.items() if d == day}
        assert {category.decode(): int(n) for category, n in found.items()} == expected
    for day in {day for day, _ in reference.views} | reference.visitors.keys():
        date = datetime.strptime(str(day), "%Y%m%d").replace(tzinfo=UTC).date()
        paths = {path: n for (d, path), n in reference.views.items() if d == day}
        assert stats.totals(SITE, date, date) == {
            "pageviews": sum(paths.values()),
            "visitors": len(reference.visitors[day]),
            "bots": 0,
        }
        pages = stats.pages(SITE, date, date, 100)
        assert {row["path"]: row["pageviews"] for row in pages} == paths


def test_it_notices_an_id_that_another_partition_counted_meanwhile(
    embedded_servers: Servers,
) -> None:
    client = connect(embedded_servers.redis_url)
    client.flushall()
    counters = Counters(client, 1)
    event = PageView(
        id="x",
        site=SITE.public_id,
        visitor="v",
        path="/",
        ts=NOW_S * 1000,
        received=NOW_S * 1000,
        retryable=True,
    )
    worker = aggregator()
    deltas = worker.aggregate([event], {}, NOW_S)
    assert counters.apply(0, Range("t", 0, 0, 1), deltas).result == APPLIED
    assert counters.apply(0, Range("t", 1, 0, 1), deltas).result == KNOWN
    again = worker.aggregate([event], counters.known_ids(worker.lookups([event])), NOW_S)
    assert again.ledger == {"duplicate": 1}
    assert counters.apply(0, Range("t", 1, 0, 1), again).result == APPLIED


def test_it_forgets_ids_only_when_every_partition_has_passed_them(
    embedded_servers: Servers,
) -> None:
    client = connect(embedded_servers.redis_url)
    client.flushall()
    counters = Counters(client, 1)
    old = NOW_S * 1000
    event = PageView(
        id="x", site=SITE.public_id, visitor="v", path="/", ts=old, received=old, retryable=True
    )
    counters.apply(0, Range("t", 0, 0, 1), aggregator().aggregate([event], {}, NOW_S))
    counters.advance_clocks("t", [0], old + 7_200_000)
    assert counters.forget_ids("t", partitions=2, margin_ms=60_000) == 0
    counters.advance_clocks("t", [1], old + 60_000)
    assert counters.forget_ids("t", partitions=2, margin_ms=60_000) == 0
    counters.advance_clocks("t", [1], old + 7_200_000)
    assert counters.forget_ids("t", partitions=2, margin_ms=60_000) == 1
    assert client.keys("*ids*") == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_copies_on_either_side_of_the_age_border_count_once_in_any_order(
    embedded_servers: Servers, order: tuple[int, int]
) -> None:
    client = connect(embedded_servers.redis_url)
    client.flushall()
    counters = Counters(client, 1)
    # Sent just before and again just after it was ten minutes old.
    copies = [
        PageView(id="x", site=SITE.public_id, visitor="v", path="/", ts=(NOW_S - 600) * 1_000,
                 received=NOW_S * 1_000 + late, retryable=True)
        for late in (-2_000, 2_000)
    ]  # fmt: skip
    found = []
    for partition in order:
        worker, copy = aggregator(), copies[partition]
        deltas = worker.aggregate([copy], counters.known_ids(worker.lookups([copy])), NOW_S)
        assert counters.apply(0, Range("t", partition, 0, 1), deltas).result == APPLIED
        found.append(deltas.ledger)
    assert found == [{"counted": 1}, {"duplicate": 1}]
