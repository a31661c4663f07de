"""`make bench-count` believes nobody's numbers, ours included."""

import time
from collections.abc import Iterator

import pytest
import redis

from bench.count.check import differences
from bench.count.layouts import EveryDimension, Layout, NumberOnly, Ours, Peers
from bench.count.truth import Truth
from bench.traffic import SITES, page_views
from ingest.pageview import PageView
from processing.aggregation import Aggregator, Portion
from processing.counters import APPLIED, Counters, Range
from processing.deltas import Known
from processing.duplicates import DuplicateWindows
from processing.rules import Retention, SiteRules
from tests.conftest import Servers

EVENTS = 500
WINDOWS = DuplicateWindows(recent=600_000, backfill=30 * 86_400_000)
RETENTION = Retention(minute=172_800, hour=7_776_000)


@pytest.fixture
def client(embedded_servers: Servers) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(embedded_servers.redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="module")
def traffic() -> list[PageView]:
    now_ms = int(time.time() * 1_000)
    return list(page_views(EVENTS, now_ms - 5_400_000, now_ms, retryable=False))


@pytest.fixture(scope="module")
def truth(traffic: list[PageView]) -> Truth:
    truth = Truth()
    for page_view in traffic:
        truth.add(page_view)
    return truth


def count_with_product(client: "redis.Redis", traffic: list[PageView]) -> Layout:
    aggregator = Aggregator(0, 1, lambda _: SiteRules(), RETENTION, WINDOWS, 2_000)
    deltas = aggregator.aggregate([Portion(0, traffic)], Known(), int(time.time()))
    outcome = Counters(client, 1).apply(0, "log", [Range(0, 0, len(traffic))], deltas)
    assert outcome.result == APPLIED
    return Ours("log", partitions=1)


def count_as_peer(client: "redis.Redis", traffic: list[PageView]) -> Layout:
    for page_view in traffic:
        client.hincrby(f"views:{page_view.site}:{page_view.ts // 60_000}", page_view.path)
        client.incr("counted")
    return Peers()


def test_what_the_product_counted_is_right(
    client: "redis.Redis", traffic: list[PageView], truth: Truth
) -> None:
    layout = count_with_product(client, traffic)
    assert list(differences(client, layout, truth)) == []


def test_one_page_view_too_many_is_found(
    client: "redis.Redis", traffic: list[PageView], truth: Truth
) -> None:
    layout = count_with_product(client, traffic)
    for name, counts in layout.hashes(truth):
        path = next(iter(counts))
        client.hincrby(name, path, 1)
        found = f"{name} has {counts[path] + 1} for {path}, not {counts[path]}"
        assert list(differences(client, layout, truth)) == [found]
        client.hincrby(name, path, -1)
        break


def test_visitors_that_are_not_there_are_found(
    client: "redis.Redis", traffic: list[PageView], truth: Truth
) -> None:
    layout = count_with_product(client, traffic)
    name, visitors = max(layout.visitors(truth), key=lambda item: item[1])
    client.delete(name)
    assert list(differences(client, layout, truth)) == [
        f"{name} has 0 visitors, not about {visitors:,}"
    ]


def test_a_peer_s_lost_and_invented_numbers_are_found(
    client: "redis.Redis", traffic: list[PageView], truth: Truth
) -> None:
    layout = count_as_peer(client, traffic)
    assert list(differences(client, layout, truth)) == []
    client.set("counted", EVENTS - 1)
    client.hset("views:nobody.example.com:0", "/", 1)
    assert list(differences(client, layout, truth)) == [
        f"{EVENTS - 1} events were counted, not {EVENTS}",
        "views:nobody.example.com:0 should not be there",
    ]


def test_every_dimension_is_expected_by_hour_and_day(truth: Truth) -> None:
    hashes = dict(EveryDimension().hashes(truth))
    for period in ("hour", "day"):
        pages = [counts for name, counts in hashes.items() if name.startswith(f"by:page:{period}:")]
        assert sum(sum(counts.values()) for counts in pages) == EVENTS
        assert any(name.startswith(f"by:utm_campaign:{period}:") for name in hashes)


def test_who_only_reads_has_to_read_everything(client: "redis.Redis", truth: Truth) -> None:
    client.set("counted", EVENTS)
    assert list(differences(client, NumberOnly(), truth)) == []


def test_half_of_the_events_are_one_site_s(truth: Truth) -> None:
    of_site = dict.fromkeys(SITES, 0)
    for (site, _), paths in truth.minutes.items():
        of_site[site] += paths.total()
    assert 0.4 < of_site[SITES[0]] / EVENTS < 0.6
