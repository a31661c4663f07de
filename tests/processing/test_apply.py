"""What the apply script refuses, and what is remembered for how long, case by case."""

import pytest
from msgspec.structs import replace

from ingest.pageview import PageView
from processing import keys
from processing.aggregation import Portion
from processing.counters import APPLIED, KNOWN, MOVED, Counters, Outcome, Range, connect
from processing.deltas import Known
from tests import reference
from tests.conftest import Servers
from tests.processing.machine import NOW_S, SITE, ZONE, aggregator, numbers


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
    deltas = worker.aggregate([Portion(0, [event])], Known(), NOW_S)
    assert counters.apply(0, "t", [Range(0, 0, 1)], deltas).result == APPLIED
    assert counters.apply(0, "t", [Range(1, 0, 1)], deltas).result == KNOWN
    known = counters.look_up(worker.lookups([event]))
    again = worker.aggregate([Portion(1, [event])], known, NOW_S)
    assert again.ledger == {1: {"duplicate": 1}}
    assert counters.apply(0, "t", [Range(1, 0, 1)], again).result == APPLIED


def test_it_notices_a_visit_that_went_on_in_another_partition_meanwhile(
    embedded_servers: Servers,
) -> None:
    """A visitor's events lie in one partition, unless the topic was given more of them."""
    client = connect(embedded_servers.redis_url)
    client.flushall()
    counters, worker = Counters(client, 1), aggregator()
    views = [
        PageView(id=path, site=SITE.public_id, visitor="v", path=path, ts=NOW_S * 1_000,
                 received=NOW_S * 1_000)
        for path in ("/a", "/b")
    ]  # fmt: skip
    first, second = (
        worker.aggregate([Portion(partition, [view])], Known(), NOW_S)
        for partition, view in enumerate(views)
    )
    assert counters.apply(0, "t", [Range(0, 0, 1)], first).result == APPLIED
    assert counters.apply(0, "t", [Range(1, 0, 1)], second).result == KNOWN
    known = counters.look_up(worker.lookups(views[1:]))
    again = worker.aggregate([Portion(1, views[1:])], known, NOW_S)
    assert counters.apply(0, "t", [Range(1, 0, 1)], again).result == APPLIED
    found = numbers(client, reference.buckets(NOW_S * 1_000, ZONE)[2])
    assert (found["*v"], found.get("*o"), found["</a"], found[">/b"]) == (1, None, 1, 1)
    assert ">/a" not in found


def test_it_forgets_ids_and_visits_only_when_every_partition_has_passed_them(
    embedded_servers: Servers,
) -> None:
    client = connect(embedded_servers.redis_url)
    client.flushall()
    counters = Counters(client, 1)
    old = NOW_S * 1000
    event = PageView(
        id="x", site=SITE.public_id, visitor="v", path="/", ts=old, received=old, retryable=True
    )
    deltas = aggregator().aggregate([Portion(0, [event])], Known(), NOW_S)
    counters.apply(0, "t", [Range(0, 0, 1)], deltas)
    counters.advance_clocks("t", [0], old + 7_200_000)
    assert counters.forget_steps("t", partitions=2, margin_ms=60_000) == 0
    counters.advance_clocks("t", [1], old + 60_000)
    assert counters.forget_steps("t", partitions=2, margin_ms=60_000) == 0
    counters.advance_clocks("t", [1], old + 7_200_000)
    assert counters.forget_steps("t", partitions=2, margin_ms=60_000) == 1
    assert client.keys("*:ids:*") == [] and len(client.keys("*:visits:*")) == 1
    for partition in (0, 1):
        advance = old // 3_600_000 * 3_600_000 + 3 * 3_600_000 + 60_000
        counters.advance_clocks("t", [partition], advance - 1)
        assert counters.forget_steps("t", partitions=2, margin_ms=60_000) == 0
        counters.advance_clocks("t", [partition], advance)
    assert counters.forget_steps("t", partitions=2, margin_ms=60_000) == 1
    assert client.keys("*:visits:*") == client.keys("*:ids") == []


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
        known = counters.look_up(worker.lookups([copy]))
        deltas = worker.aggregate([Portion(partition, [copy])], known, NOW_S)
        assert counters.apply(0, "t", [Range(partition, 0, 1)], deltas).result == APPLIED
        found.append(deltas.ledger[partition])
    assert found == [{"counted": 1}, {"duplicate": 1}]


def test_several_partitions_are_counted_together_or_not_at_all(embedded_servers: Servers) -> None:
    client = connect(embedded_servers.redis_url)
    client.flushall()
    counters, worker = Counters(client, 1), aggregator()
    view = PageView(
        id="x", site=SITE.public_id, visitor="v", path="/", ts=NOW_S * 1_000,
        received=NOW_S * 1_000, retryable=True,
    )  # fmt: skip
    portions = [Portion(0, [view], [5]), Portion(1, [replace(view, visitor="w")], [7])]
    deltas = worker.aggregate(portions, Known(), NOW_S)
    assert deltas.ledger == {0: {"counted": 1}, 1: {"duplicate": 1}}
    outcome = counters.apply(0, "t", [Range(0, 0, 6), Range(1, 7, 8)], deltas)
    assert outcome == Outcome(MOVED, partition=1, marker=0)
    assert client.keys("*") == []
    assert counters.apply(0, "t", [Range(0, 0, 6), Range(1, 0, 8)], deltas).result == APPLIED
    assert counters.markers("t", 2) == [[6, 8]]
    assert client.hgetall(keys.ledger(0, "t")) == {b"0:counted": b"1", b"1:duplicate": b"1"}
    assert client.hgetall(keys.clock(0, "t")) == dict.fromkeys([b"0", b"1"], b"%d" % view.received)
    assert client.zrange(keys.duplicates(0, "t", 1), 0, -1) == [b"7-7"]
    assert not client.exists(keys.duplicates(0, "t", 0))
    assert counters.apply(0, "t", [Range(0, 0, 6)], deltas) == Outcome(MOVED, 0, 6)
