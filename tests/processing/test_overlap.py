"""Counting a batch while the next one is read comes to the same numbers as one after the other."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ingest.pageview import PageView
from processing import keys, overlap
from processing.counters import Counters, connect
from processing.counting import Batch, Counting, MarkerMoved
from processing.overlap import Overlap, Refused
from tests.conftest import Servers
from tests.processing.machine import NOW_S, PARTITIONS, SITE, Machine, aggregator, split
from tests.processing.test_counting_property import check, expect, logs

# So many events of a partition, or of each, are begun; or they are counted by somebody else
# meanwhile, who comes before what is under way, or after it.
steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "begin all", "begin all", "finish", "other"]),
        st.integers(1, 10),
        st.integers(0, PARTITIONS - 1),
    ),
    max_size=12,
)


class Counted:
    """One consumer's counting of the machine's logs."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.begin_at_the_markers()

    def begin_at_the_markers(self) -> None:
        self.events = 0
        self.counting = counting(self.machine.counters)
        self.overlap = Overlap(self.counting, self._note)

    def _note(self, batch: Batch) -> None:
        self.events += len(batch.offsets)

    def begin(self, events: int, *partitions: int) -> None:
        batches = [
            taken(self.machine, self.overlap.position(partition), events, partition)
            for partition in partitions
        ]
        if new := [batch for batch in batches if batch.offsets]:
            self.overlap.begin(new)


def counting(counters: Counters) -> Counting:
    return Counting(counters, [aggregator()], "t", PARTITIONS, lambda: NOW_S * 1_000)


def taken(machine: Machine, start: int, events: int, partition: int) -> Batch:
    batch = Batch(partition)
    for offset, event in enumerate(machine.logs[partition][start : start + events], start):
        batch.add(offset, event)
    return batch


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(log=logs, steps=steps)
def test_it_counts_what_the_reference_counts_whoever_counts_meanwhile(
    embedded_servers: Servers, log: list[PageView], steps: list[tuple[str, int, int]]
) -> None:
    client = connect(embedded_servers.redis_url)
    machine = Machine(client, split(log))
    ours = Counted(machine)
    for step in [*steps, *(("begin", len(log), p) for p in range(PARTITIONS)), ("finish", 0, 0)]:
        try:
            play(machine, ours, *step)
        except MarkerMoved:
            ours.overlap.abandon()
            ours.begin_at_the_markers()
    for partition in range(PARTITIONS):
        ours.begin(len(log), partition)
    ours.overlap.finish()
    ours.overlap.abandon()
    check(client, expect(machine.logs))


def play(machine: Machine, ours: Counted, step: str, events: int, partition: int) -> None:
    if step == "begin":
        ours.begin(events, partition)
    elif step == "begin all":
        ours.begin(events, *range(PARTITIONS))
    elif step == "finish":
        ours.overlap.finish()
    else:
        other = counting(machine.counters)
        batch = taken(machine, other.position(partition), events, partition)
        if batch.offsets:
            other.count(batch)


def test_what_is_too_much_to_be_kept_is_not_counted_where_it_was_refused(
    embedded_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "MOST_KEPT", 2)
    client = connect(embedded_servers.redis_url)
    # The same ids in both partitions.
    again = [replace(view, retryable=True) for view in views("a")]
    ours = Counted(Machine(client, [again, again]))
    ours.begin(3, 0)
    other = counting(ours.machine.counters)
    other.count(taken(ours.machine, 0, 1, 1))
    with pytest.raises(Refused, match="Partition 0, shard 0"):
        ours.overlap.finish()
    ours.overlap.abandon()
    assert client.hget(keys.marker(0, "t"), "0") is None
    ours.begin_at_the_markers()
    ours.begin(3, 0, 1)
    ours.overlap.finish()
    assert ours.events == 3 + 2
    assert client.hgetall(keys.ledger(0, "t")) == {
        b"0:counted": b"2", b"0:duplicate": b"1", b"1:counted": b"1", b"1:duplicate": b"2",
    }  # fmt: skip


def test_it_waits_while_the_numbers_are_swapped(embedded_servers: Servers) -> None:
    client = connect(embedded_servers.redis_url)
    ours = Counted(Machine(client, [views("a"), []]))
    client.set(keys.hold(0), "somebody", px=300)
    ours.begin(3, 0)
    ours.overlap.finish()
    assert not client.exists(keys.hold(0))
    assert ours.counting.position(0) == ours.events == 3


def test_it_says_what_is_counted_only_when_it_is(embedded_servers: Servers) -> None:
    ours = Counted(Machine(connect(embedded_servers.redis_url), [views("a"), views("b")]))
    ours.begin(2, 0)
    ours.begin(3, 1)
    assert (ours.overlap.position(0), ours.overlap.position(1)) == (2, 3)
    assert ours.counting.position(1) == ours.events == 0
    ours.overlap.finish()
    assert (ours.counting.position(0), ours.counting.position(1), ours.events) == (2, 3, 5)


def test_it_goes_on_with_visits_that_are_under_way(embedded_servers: Servers) -> None:
    """Without a second try: what the next batch finds is what this one will leave."""
    client = connect(embedded_servers.redis_url)
    ours = Counted(Machine(client, [views("a"), []]))
    for _ in range(3):
        ours.begin(1, 0)
    client.config_resetstat()
    ours.overlap.finish()
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] <= 3
    (visits,) = client.hvals(keys.SiteKeys(SITE.public_id, 1).visits(NOW_S // 3_600))
    assert visits.startswith(f"[{NOW_S * 1_000},0,0,2,0".encode())


def test_it_writes_nothing_after_it_was_abandoned(embedded_servers: Servers) -> None:
    client = connect(embedded_servers.redis_url)
    ours = Counted(Machine(client, [views("a"), []]))
    ours.begin(2, 0)
    ours.overlap.abandon()
    assert client.keys("*") == []
    with pytest.raises(RuntimeError):
        ours.begin(1, 0)


def views(visitor: str) -> list[PageView]:
    return [
        PageView(id=str(n), site=SITE.public_id, visitor=visitor, path=f"/{n}", ts=NOW_S * 1_000,
                 received=NOW_S * 1_000)
        for n in range(3)
    ]  # fmt: skip
