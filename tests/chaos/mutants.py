"""Bugs to be caught, planted in the processes under test and nowhere else."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.chaos.patching import when_imported


@dataclass(frozen=True)
class Mutant:
    """A bug: what it is, how `module` is changed, and which fault it wants to show itself."""

    says: str
    module: str
    plant: Callable[[Any], None]
    wants: tuple[str, ...] = ()


def install(name: str) -> None:
    """Plant the bug; nothing for the empty name."""
    if name:
        mutant = MUTANTS[name]
        when_imported(mutant.module, mutant.plant)


def _script_without(counters: Any, line: str) -> None:
    """apply.lua without one of its lines."""
    make = counters.Counters.__init__

    def init(self: Any, client: Any, shards: int) -> None:
        make(self, client, shards)
        text = self._script.script
        text = text.decode() if isinstance(text, bytes) else text
        assert line in text, line
        self._script = client.register_script(text.replace(line, ""))

    counters.Counters.__init__ = init


def _no_compare_and_set(counters: Any) -> None:
    _script_without(counters, "if found ~= b.expected then return {'moved', found} end")


def _no_second_look_at_ids(counters: Any) -> None:
    _script_without(counters, "if there then return {'known', key} end")


def _expected_is_what_is_there(counters: Any) -> None:
    apply = counters.Counters.apply

    def careless(self: Any, shard: int, offsets: Any, deltas: Any) -> Any:
        name = counters.keys.marker(shard, offsets.topic_id)
        there = int(self.client.hget(name, str(offsets.partition)) or 0)
        offsets = counters.Range(offsets.topic_id, offsets.partition, there, offsets.next)
        return apply(self, shard, offsets, deltas)

    counters.Counters.apply = careless


def _marker_after_the_script(counters: Any) -> None:
    _script_without(counters, "redis.call('HSET', KEYS[1], field, string.format('%.0f', b.next))")
    apply = counters.Counters.apply

    def two_steps(self: Any, shard: int, offsets: Any, deltas: Any) -> Any:
        outcome = apply(self, shard, offsets, deltas)
        if outcome.result == counters.APPLIED:
            time.sleep(0.02)
            name = counters.keys.marker(shard, offsets.topic_id)
            self.client.hset(name, str(offsets.partition), offsets.next)
        return outcome

    counters.Counters.apply = two_steps


def _ids_before_the_script(counters: Any) -> None:
    apply = counters.Counters.apply

    def two_steps(self: Any, shard: int, offsets: Any, deltas: Any) -> Any:
        for key, (_, marks) in deltas.ids.items():
            self.client.sadd(key, *marks)
        deltas.ids.clear()
        deltas.absent.clear()
        time.sleep(0.02)
        return apply(self, shard, offsets, deltas)

    counters.Counters.apply = two_steps


def _no_seek_after_moved(counting: Any) -> None:
    counting.MOVED = "never"


def _idle_markers_unwatched(counting: Any) -> None:
    counting.Counting.confirm = lambda self: None


def _invalid_not_counted(counting: Any) -> None:
    counting._tally_unread = lambda *_: None


def _dead_letters_dropped(dead_letters: Any) -> None:
    dead_letters.DeadLetters.keep = lambda self, letters: None


def _no_duplicates(aggregation: Any) -> None:
    aggregation.Aggregator._remember = lambda *_: True


def _duplicates_not_in_the_sites_ledger(aggregation: Any) -> None:
    tally = aggregation.Aggregator._tally_site

    def forgetful(self: Any, deltas: Any, page_view: Any, category: str, now_s: int) -> None:
        if category != aggregation.DUPLICATE:
            tally(self, deltas, page_view, category, now_s)

    aggregation.Aggregator._tally_site = forgetful


def _ack_before_the_report(producer: Any) -> None:
    def send(self: Any, messages: Any) -> Any:
        self._produce(messages)
        return [producer.Receipt(0, 0)] * len(messages)

    producer.PageViewProducer.send = send


def _first_report_is_enough(producer: Any) -> None:
    """A request is answered as if all its messages were safe."""

    def send(self: Any, messages: Any) -> Any:
        waiting = self._produce(messages)
        waiting.wait(self._settings.timeout_ms / 1000 + 2)
        known = [receipt for receipt in waiting.receipts if receipt]
        return [receipt or (known or [producer.Receipt(0, 0)])[0] for receipt in waiting.receipts]

    producer.PageViewProducer.send = send


def _key_by_time(plan: Any) -> None:
    plan._object_key = lambda segment: (
        f"pageviews/log={segment.topic_id}/p={segment.partition:02d}/{int(time.time())}.parquet"
    )


def _failed_upload_is_done(object_store: Any) -> None:
    put = object_store.ObjectStore.put

    def optimist(self: Any, source: Any, key: str) -> int:
        try:
            return int(put(self, source, key))
        except OSError:
            return int(source.stat().st_size)

    object_store.ObjectStore.put = optimist


_COUNTERS, _COUNTING = "processing.counters", "processing.counting"
MUTANTS = {
    "no-compare-and-set": Mutant(
        "apply.lua writes whatever the marker is", _COUNTERS, _no_compare_and_set,
        ("stop consumer",)),
    "expected-ignored": Mutant(
        "the marker that is there is taken for the expected one", _COUNTERS,
        _expected_is_what_is_there, ("stop consumer",)),
    "marker-apart": Mutant(
        "the marker is written after the script, not in it", _COUNTERS,
        _marker_after_the_script, ("kill consumer",)),
    "ids-apart": Mutant(
        "ids are written before the script, not in it", _COUNTERS, _ids_before_the_script,
        ("kill consumer",)),
    "no-second-look": Mutant(
        "apply.lua does not look for ids again", _COUNTERS, _no_second_look_at_ids),
    "no-seek": Mutant(
        "a rejected apply goes on at the marker found", _COUNTING, _no_seek_after_moved,
        ("redis failover",)),
    "idle-unwatched": Mutant(
        "markers are not looked at while nothing arrives", _COUNTING, _idle_markers_unwatched,
        ("silent redis failover",)),
    "invalid-uncounted": Mutant(
        "invalid messages are not in the ledger", _COUNTING, _invalid_not_counted),
    "dead-letter-dropped": Mutant(
        "dead letters are not kept", "processing.dead_letters", _dead_letters_dropped),
    "no-duplicates": Mutant(
        "every id is new", "processing.aggregation", _no_duplicates),
    "site-ledger-short": Mutant(
        "duplicates are not in their site's ledger", "processing.aggregation",
        _duplicates_not_in_the_sites_ledger),
    "early-ack": Mutant(
        "202 before the delivery report", "ingest.producer", _ack_before_the_report),
    "one-ack-for-all": Mutant(
        "202 for a message whose delivery failed", "ingest.producer", _first_report_is_enough,
        ("stop kafka", "stop kafka")),
    "archive-key-by-time": Mutant(
        "an object is named by the time of its plan", "processing.archive_plan", _key_by_time),
    "upload-unverified": Mutant(
        "a failed upload is taken for done", "processing.object_store", _failed_upload_is_done,
        ("disk full",)),
}  # fmt: skip
