"""Bugs to be caught, planted in the processes under test and nowhere else."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.chaos.patching import when_imported
from tests.chaos.schedule import Fault

# Lines of apply.lua.
_WRITE_MARKER = "redis.call('HSET', KEYS[1], partition, string.format('%.0f', done[3]))"


@dataclass(frozen=True)
class Mutant:
    """A bug: what it is and how `module` is changed.

    It is hunted with drawn schedules that hold the faults it `wants`; one that needs several
    things at the same moment has `faults` of its own, or a topic that is made again.
    """

    says: str
    module: str
    plant: Callable[[Any], None]
    wants: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    remade: bool = False


def install(name: str) -> None:
    """Plant the bug; nothing for the empty name."""
    if name:
        mutant = MUTANTS[name]
        when_imported(mutant.module, mutant.plant)


def _change_script(counters: Any, line: str, instead: str = "") -> None:
    """apply.lua with one of its lines gone, or others in its place."""
    make = counters.Counters.__init__

    def init(self: Any, client: Any, *arguments: Any, **named: Any) -> None:
        make(self, client, *arguments, **named)
        text = self._script.script
        text = text.decode() if isinstance(text, bytes) else text
        assert line in text, line
        self._script = client.register_script(text.replace(line, instead))

    counters.Counters.__init__ = init


def _no_compare_and_set(counters: Any) -> None:
    _change_script(counters, "if found ~= range[2] then return {'moved', range[1], found} end")


def _no_second_look_at_ids(counters: Any) -> None:
    _change_script(counters, "if there then return {'known', key} end")


def _expected_is_what_is_there(counters: Any) -> None:
    apply = counters.Counters.apply

    def careless(self: Any, shard: int, topic_id: str, ranges: Any, deltas: Any) -> Any:
        found = self.client.hgetall(counters.keys.marker(shard, topic_id))
        there = {int(partition): int(offset) for partition, offset in found.items()}
        ranges = [replace(each, expected=there.get(each.partition, 0)) for each in ranges]
        return apply(self, shard, topic_id, ranges, deltas)

    counters.Counters.apply = careless


def _marker_after_the_script(counters: Any) -> None:
    _change_script(counters, _WRITE_MARKER)
    apply = counters.Counters.apply

    def two_steps(self: Any, shard: int, topic_id: str, ranges: Any, deltas: Any) -> Any:
        outcome = apply(self, shard, topic_id, ranges, deltas)
        if outcome.result == counters.APPLIED:
            time.sleep(0.02)
            ends = {str(each.partition): each.next for each in ranges}
            self.client.hset(counters.keys.marker(shard, topic_id), mapping=ends)
        return outcome

    counters.Counters.apply = two_steps


def _ids_before_the_script(counters: Any) -> None:
    apply = counters.Counters.apply

    def two_steps(self: Any, shard: int, topic_id: str, ranges: Any, deltas: Any) -> Any:
        for key, (_, marks) in deltas.ids.items():
            self.client.sadd(key, *marks)
        time.sleep(0.02)
        return apply(self, shard, topic_id, ranges, replace(deltas, ids={}, absent={}))

    counters.Counters.apply = two_steps


def _visits_before_the_script(counters: Any) -> None:
    """So a batch that is counted again goes on with visits that it went on with before."""
    apply = counters.Counters.apply

    def two_steps(self: Any, shard: int, topic_id: str, ranges: Any, deltas: Any) -> Any:
        for key, _, triples in deltas.visits:
            for visitor, now in zip(triples[::3], triples[2::3], strict=True):
                if now:
                    self.client.hset(self.space + key, visitor, now)
        time.sleep(0.02)
        return apply(self, shard, topic_id, ranges, replace(deltas, visits=[]))

    counters.Counters.apply = two_steps


def _marker_by_topic_name(counters: Any) -> None:
    """The harness finds a marker by the log's id, so there it is written too, but not read."""
    topic = os.environ["KAFKA_TOPIC"]
    copy = _WRITE_MARKER.replace("KEYS[1]", "(string.gsub(KEYS[2], ':ledger:', ':marker:'))")
    _change_script(counters, _WRITE_MARKER, f"{_WRITE_MARKER}\n{copy}")
    counters.keys.marker = lambda shard, _: f"{counters.keys.tag(shard)}:marker:{topic}"


def _no_seek_after_moved(counting: Any) -> None:
    counting.MOVED = "never"


def _idle_markers_unwatched(counting: Any) -> None:
    counting.Counting.confirm = lambda self: None


def _invalid_not_counted(counting: Any) -> None:
    counting._tally_unread = lambda *_: None


def _commit_before_apply(consumer: Any) -> None:
    """Kafka's committed offset is where the consumer begins, and runs ahead of the counts."""
    reader = consumer.PageViewConsumer
    synchronise, handle = reader._synchronise, reader._handle

    def begin_at_the_commit(self: Any) -> None:
        synchronise(self)
        if self._stale:
            return
        topic = self._log.topic
        places = [consumer.TopicPartition(topic, partition) for partition in self._assigned]
        try:
            places = self._kafka.committed(places, timeout=5)
        except consumer.KafkaException as error:
            self._stale = True
            raise consumer.LogUnavailable(str(error)) from error
        for place in places:
            place.offset = place.offset if place.offset >= 0 else self._position(place.partition)
        self._kafka.assign(places)

    def commit_first(self: Any, read: Any) -> None:
        if read.batches and not self._stale:
            ends = {partition: batch.next for partition, batch in read.batches.items()}
            places = [consumer.TopicPartition(self._log.topic, p, o) for p, o in ends.items()]
            try:
                self._kafka.commit(offsets=places, asynchronous=False)
            except consumer.KafkaException as error:
                raise consumer.LogUnavailable(str(error)) from error
        handle(self, read)

    reader._synchronise, reader._handle = begin_at_the_commit, commit_first
    reader._commit = lambda self: None


def _dead_letters_dropped(dead_letters: Any) -> None:
    dead_letters.DeadLetters.keep = lambda self, letters, topic_id: None


def _no_duplicates(aggregation: Any) -> None:
    aggregation.Aggregator._remember = lambda *_: True


def _duplicates_not_in_the_sites_ledger(aggregation: Any) -> None:
    tally = aggregation.Aggregator._tally

    def forgetful(
        self: Any, deltas: Any, partition: int, site: str, events: Any, category: str, now: int
    ) -> None:
        if category != aggregation.DUPLICATE:
            tally(self, deltas, partition, site, events, category, now)
        elif events:
            deltas.tally(partition, category, len(events))

    aggregation.Aggregator._tally = forgetful


def _ack_before_the_report(producer: Any) -> None:
    """In either door's producer."""
    owner = getattr(producer, "PageViewProducer", None) or producer.LoopProducer
    produce = owner.produce

    def hasty(self: Any, delivery: Any) -> None:
        unheard = producer.Delivery(delivery.messages)
        produce(self, unheard)
        delivery.arrived(range(len(delivery.messages)), 0, 0)

    owner.produce = hasty


def _first_report_is_enough(delivery: Any) -> None:
    """A message that failed is answered as if it were safe."""

    def failed(self: Any, messages: int, reason: str) -> None:
        known = next(filter(None, self.receipts), "0-0")
        self.receipts = [receipt or known for receipt in self.receipts]
        self._settle(messages)

    delivery.Delivery.failed = failed


def _key_by_time(plan: Any) -> None:
    plan.object_key = lambda segment, forgotten=0: (
        f"{segment.topic_id}/{segment.partition}/{time.time() // 60:.0f}.parquet"
    )


def _row_after_the_object(archive: Any) -> None:
    plan = archive.Archive.plan

    def write_first(self: Any) -> Any:
        with archive.transaction.atomic():
            segments = plan(self)
            archive.transaction.set_rollback(True)
        # Nothing is there yet that could be told that it is written.
        self._finish = lambda *_: None
        for segment in segments:
            segment.pk = None
            self._write(segment)
            segment.state, segment.rows, segment.due_at = "written", segment.events, None
            segment.save(force_insert=True)
        del self._finish
        return segments

    archive.Archive.plan = write_first


def _failed_upload_is_done(object_store: Any) -> None:
    put = object_store.ObjectStore.put

    def optimist(self: Any, source: Any, key: str) -> int:
        try:
            return int(put(self, source, key))
        except OSError:
            return int(source.stat().st_size)

    object_store.ObjectStore.put = optimist


_COUNTERS, _COUNTING = "processing.counters", "processing.counting"
_UNAPPLIED = "processing.counters:Counters.apply:before 5"
_STORED = "processing.object_store:ObjectStore.put:after 2"
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
    "visits-apart": Mutant(
        "visits are written before the script, not in it", _COUNTERS,
        _visits_before_the_script, ("kill consumer",)),
    "no-second-look": Mutant(
        "apply.lua does not look for ids again", _COUNTERS, _no_second_look_at_ids),
    "marker-by-name": Mutant(
        "a marker is named by the topic's name, not its id", _COUNTERS, _marker_by_topic_name,
        remade=True),
    "commit-before-apply": Mutant(
        "the offset is committed before the apply, and begun at", "processing.consumer",
        _commit_before_apply,
        faults=(Fault(2.0, "kill point", "consumer-1", 4.0, _UNAPPLIED),
                Fault(2.0, "kill point", "consumer-2", 4.0, _UNAPPLIED))),
    # Redis is turned back while both consumers sleep, so that no call fails before the apply.
    "no-seek": Mutant(
        "a rejected apply goes on at the marker found", _COUNTING, _no_seek_after_moved,
        faults=(Fault(3.0, "stop", "consumer-1", 2.0), Fault(3.0, "stop", "consumer-2", 2.0),
                Fault(3.2, "redis rewind", "redis", 0.5, "1.00"))),
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
    "early-ack-gateway": Mutant(
        "202 of the gateway before Kafka's answer", "ingest.gateway.producer",
        _ack_before_the_report),
    "one-ack-for-all": Mutant(
        "202 for a message whose delivery failed", "ingest.delivery", _first_report_is_enough,
        faults=(Fault(2.0, "stop", "kafka-1", 5.0), Fault(2.0, "stop", "kafka-2", 5.0))),
    "archive-key-by-time": Mutant(
        "an object is named by the minute of its plan", "processing.archive_plan", _key_by_time),
    "upload-unverified": Mutant(
        "a failed upload is taken for done", "processing.object_store", _failed_upload_is_done,
        faults=(Fault(3.0, "disk full", "archive", 5.0),)),
    "plan-after-write": Mutant(
        "the plan's row is made after the object", "processing.archive", _row_after_the_object,
        faults=(Fault(1.5, "kill point", "worker-1", 4.0, _STORED),
                Fault(1.5, "kill point", "worker-2", 4.0, _STORED),
                Fault(6.0, "kill point", "worker-1", 4.0, _STORED),
                Fault(6.0, "kill point", "worker-2", 4.0, _STORED))),
}  # fmt: skip
