"""Reads the log and counts it into the live store, each event exactly once (SPEC.md §5).

The markers in Redis are the only truth about what is counted. Whenever anything is not as
this consumer believed — it was given other partitions, an apply found another marker, a
call timed out, the topic was made again — it forgets what it holds, reads the markers and
begins there. One rule for all of them.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import redis
from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from ingest.pageview import PageView, UndecodableMessage, decode
from processing import keys
from processing.aggregation import EXPIRED, HOLES, INVALID, Aggregator, Deltas
from processing.counters import KNOWN, MOVED, Counters, Outcome, Range
from processing.dead_letters import DeadLetter, DeadLetters
from processing.log import Log, LogUnavailable, Topic

logger = logging.getLogger(__name__)

REPORT_EVERY_MS = 500
COMMIT_EVERY_MS = 5_000
FORGET_IDS_EVERY_MS = 60_000
# Processes' clocks may differ by this much, and an event may be on its way for as long.
CLOCK_MARGIN_MS = 60_000
ROLLED_BACK_AFTER_MS = 30_000


class ConsumerStopped(RuntimeError):
    """Raised when counting can't go on without a person; the message says why and what to do."""


@dataclass
class Batch:
    """Consecutive messages of one partition, decoded."""

    partition: int
    page_views: list[tuple[int, PageView]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    @property
    def next(self) -> int:
        return self.offsets[-1] + 1

    def add(self, message: Message) -> bool:
        """Whether the message is a page view."""
        offset = message.offset()
        assert offset is not None  # noqa: S101  every message from a broker has one
        self.offsets.append(offset)
        try:
            self.page_views.append((offset, decode(message.value())))
        except UndecodableMessage as error:
            self.letters.append(DeadLetter(message, str(error)))
            return False
        return True


@dataclass
class Progress:
    """What the consumer has done and how far behind it is, for people."""

    events: int = 0
    lag: int | None = None
    age_ms: int | None = None


class PageViewConsumer:
    """One member of the consumer group.

    `clock` gives Unix milliseconds. `max_invalid` undecodable messages in a row stop it.
    """

    def __init__(
        self,
        kafka: Consumer,
        log: Log,
        counters: Counters,
        aggregators: Sequence[Aggregator],
        dead_letters: DeadLetters,
        *,
        batch_events: int,
        max_invalid: int,
        clock: Callable[[], int],
    ) -> None:
        self._kafka = kafka
        self._log = log
        self._counters = counters
        self._aggregators = aggregators
        self._dead_letters = dead_letters
        self._batch_events = batch_events
        self._max_invalid = max_invalid
        self._clock = clock
        self._stop = threading.Event()
        self._topic: Topic | None = None
        self._assigned: list[int] = []
        self._stale = False
        # Per shard and partition, the marker as this consumer believes it to be.
        self._markers: list[dict[int, int]] = []
        self._ends: dict[int, int] = {}
        self._through: dict[int, int] = {}
        self._reached_ms = 0
        self._invalid_in_a_row = 0
        self._rolled_back_since: int | None = None
        self._due: dict[str, int] = defaultdict(int)
        self.progress = Progress()

    def stop(self) -> None:
        """Ask `run` to return after the batch in hand. Safe from a signal handler."""
        self._stop.set()

    def run(self, on_step: Callable[[], None] = lambda: None) -> None:
        """Count until `stop`; `on_step` is called about once in a fifth of a second.

        Raises `ConsumerStopped`.
        """
        self._kafka.subscribe(
            [self._log.topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )
        try:
            while not self._stop.is_set():
                self.step()
                on_step()
        finally:
            self._close()

    def step(self) -> None:
        """Read and count what is there, waiting at most a fifth of a second for it."""
        try:
            if self._stale:
                self._synchronise()
            self._handle(self._poll())
            self._keep_house()
        except (LogUnavailable, redis.RedisError) as trouble:
            logger.warning("Counting waits and will begin at the markers again: %s", trouble)
            self._stale = True
            self._wait_in_group(1.0)

    # --- Where to begin ---------------------------------------------------------------

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned = sorted(tp.partition for tp in partitions)
        self._stale = True
        # Where to begin is decided by `_synchronise`; until then nothing is used.
        self._kafka.assign(
            [TopicPartition(tp.topic, tp.partition, OFFSET_END) for tp in partitions]
        )
        logger.info("Partitions assigned: %s", self._assigned)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {tp.partition for tp in partitions}
        self._assigned = [p for p in self._assigned if p not in gone]
        self._stale = True
        logger.info("Partitions revoked: %s", sorted(gone))

    def _synchronise(self) -> None:
        """Read the markers and begin there."""
        topic = self._topic = self._describe_topic()
        self._counters.remember_log(topic.name, topic.id)
        found = self._counters.markers(topic.id, topic.partitions)
        self._markers = [dict(enumerate(markers)) for markers in found]
        self._skip_expired(topic, self._log.starts(topic.partitions))
        self._ends = self._log.ends(topic.partitions)
        self._refuse_rollback(self._ends)
        self._kafka.assign(
            [TopicPartition(topic.name, p, self._position(p)) for p in self._assigned]
        )
        self._through = {}
        self._reached_ms = self._clock()
        self._stale = False

    def _position(self, partition: int) -> int:
        return min(markers[partition] for markers in self._markers)

    def _skip_expired(self, topic: Topic, starts: dict[int, int]) -> None:
        for partition in self._assigned:
            for shard, markers in enumerate(self._markers):
                lost = starts[partition] - markers[partition]
                if lost > 0:
                    logger.error(
                        "%d events of partition %d expired in Kafka before they were counted "
                        "(offsets %d to %d). They are told as expired in the ledger.",
                        lost, partition, markers[partition], starts[partition] - 1,
                    )  # fmt: skip
                    skipped = Deltas(ledger={EXPIRED: lost})
                    self._apply(shard, partition, starts[partition], skipped)

    def _refuse_rollback(self, ends: dict[int, int]) -> None:
        """A marker past the log's end: the log lost what was counted. A new leader may
        know an old end for a moment, so this is believed only when it stays."""
        ahead = {p: ends[p] for p in self._assigned if self._position(p) > ends[p]}
        if not ahead:
            self._rolled_back_since = None
            return
        now = self._clock()
        self._rolled_back_since = self._rolled_back_since or now
        sentence = "; ".join(
            f"partition {p} ends at {end}, counted up to {self._position(p)}"
            for p, end in ahead.items()
        )
        if now - self._rolled_back_since < ROLLED_BACK_AFTER_MS:
            raise LogUnavailable(f"the log seems to be rolled back: {sentence}")
        raise ConsumerStopped(
            f"The log was rolled back: {sentence}. What Kafka lost is counted already, and what "
            "comes at those offsets next would not be. Bring the log back, or make the topic anew "
            "with `manage.py create_topics` after deleting it."
        )

    # --- Reading ----------------------------------------------------------------------

    def _poll(self) -> list[Message]:
        messages = self._kafka.consume(1, timeout=0.2)
        if messages:
            # A little patience makes batches that are worth a round trip.
            messages += self._kafka.consume(self._batch_events - 1, timeout=0.02)
        return [message for message in messages if not self._is_notice(message)]

    def _is_notice(self, message: Message) -> bool:
        """Whether this is no message but news; news that concern the position are heeded."""
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._MAX_POLL_EXCEEDED:
            logger.warning("This consumer was too slow and left the group; it joins again.")
        elif error.code() != KafkaError._PARTITION_EOF:
            logger.warning("Kafka says: %s", error)
            self._stale = True
        return True

    def _handle(self, messages: Sequence[Message]) -> None:
        """Count `messages`, or nothing of them from where the markers say otherwise."""
        if self._stale or not messages:
            return
        batches = self._decode(messages)
        self._confirm_topic()
        self._bury([letter for batch in batches for letter in batch.letters])
        for batch in batches:
            if not self._stale:
                self._count(batch)

    def _decode(self, messages: Sequence[Message]) -> list[Batch]:
        batches: dict[int, Batch] = {}
        for message in messages:
            partition = message.partition()
            assert partition is not None  # noqa: S101  every message from a broker has one
            valid = batches.setdefault(partition, Batch(partition)).add(message)
            self._invalid_in_a_row = 0 if valid else self._invalid_in_a_row + 1
        return list(batches.values())

    def _confirm_topic(self) -> None:
        """Make sure that what was read belongs to the log whose markers are known: its id
        is the same now, after the reading, as before."""
        self._describe_topic()
        self._reached_ms = self._clock()

    def _describe_topic(self) -> Topic:
        """The topic as it is now, the same as before. A Kafka client does not survive the
        change of a topic's id (librdkafka #4898, #4964), so a new log wants a new process."""
        topic = self._log.describe()
        if self._topic is not None and topic.id != self._topic.id:
            raise ConsumerStopped(
                f"The topic {topic.name!r} was deleted and made again: the log {self._topic.id} "
                f"ended, {topic.id} begins. Start this process again to count the new log from its "
                "start; what was counted stays."
            )
        return topic

    def _bury(self, letters: Sequence[DeadLetter]) -> None:
        if self._invalid_in_a_row >= self._max_invalid:
            raise ConsumerStopped(
                f"The last {self._invalid_in_a_row} messages of {self._log.topic!r} are no page "
                f"views (the last reason: {letters[-1].reason}). Something else writes into the "
                "topic, or this version is too old for it. Nothing of them was counted; correct "
                "it, or raise CONSUMER_MAX_INVALID to put them all into the dead letters."
            )
        if letters:
            self._dead_letters.keep(letters)
            logger.warning("%d messages could not be read: %s", len(letters), letters[-1].reason)

    # --- Counting ---------------------------------------------------------------------

    def _count(self, batch: Batch) -> None:
        for shard, markers in enumerate(self._markers):
            while not self._stale and markers[batch.partition] < batch.next:
                self._count_in(shard, batch)
        if not self._stale:
            self.progress.events += len(batch.offsets)
            if batch.page_views:
                self._through[batch.partition] = batch.page_views[-1][1].received

    def _count_in(self, shard: int, batch: Batch) -> None:
        """Try to count the batch into one shard; says so by the marker or `_stale`."""
        expected = self._markers[shard][batch.partition]
        aggregator = self._aggregators[shard]
        shards = len(self._aggregators)
        page_views = [
            page_view
            for offset, page_view in batch.page_views
            if offset >= expected and keys.shard_of(page_view.site, shards) == shard
        ]
        known = self._counters.known_ids(aggregator.lookups(page_views))
        deltas = aggregator.aggregate(page_views, known, self._clock() // 1000)
        self._tally_unread(deltas, shard, batch, expected)
        self._apply(shard, batch.partition, batch.next, deltas)

    def _tally_unread(self, deltas: Deltas, shard: int, batch: Batch, expected: int) -> None:
        if shard == 0:
            invalid = sum(
                1 for letter in batch.letters if (letter.message.offset() or 0) >= expected
            )
            if invalid:
                deltas.tally(INVALID, invalid)
        holes = batch.next - expected - sum(1 for offset in batch.offsets if offset >= expected)
        if holes:
            deltas.tally(HOLES, holes)

    def _apply(self, shard: int, partition: int, next_offset: int, deltas: Deltas) -> None:
        assert self._topic is not None  # noqa: S101  set before anything is read
        expected = self._markers[shard][partition]
        offsets = Range(self._topic.id, partition, expected, next_offset)
        outcome: Outcome = self._counters.apply(shard, offsets, deltas)
        if outcome.result == MOVED:
            logger.warning(
                "Partition %d, shard %d: the marker is %d, not %d. Another consumer counted, or "
                "Redis was rolled back; beginning at the markers again.",
                partition, shard, outcome.marker, expected,
            )  # fmt: skip
            self._stale = True
        elif outcome.result != KNOWN:
            self._markers[shard][partition] = outcome.marker

    # --- Housekeeping -----------------------------------------------------------------

    def _is_due(self, name: str, every_ms: int) -> bool:
        now = self._clock()
        if abs(now - self._due[name]) < every_ms:
            return False
        self._due[name] = now
        return True

    def _keep_house(self) -> None:
        if self._stale or self._topic is None:
            return
        if self._is_due("report", REPORT_EVERY_MS):
            self._report()
        if self._is_due("commit", COMMIT_EVERY_MS):
            self._commit()
        if self._is_due("forget ids", FORGET_IDS_EVERY_MS):
            self._forget_ids()

    def _report(self) -> None:
        """Tell readers how far the numbers go."""
        assert self._topic is not None  # noqa: S101  see _keep_house
        if self._clock() - self._reached_ms >= REPORT_EVERY_MS:
            self._confirm_topic()
        if not self._markers_hold(self._topic):
            self._stale = True
            return
        ends = {p: self._known_end(p) for p in self._assigned}
        for partition, end in ends.items():
            if self._position(partition) >= end:
                self._through[partition] = self._reached_ms
        now = self._clock()
        reports = {
            p: {"log_end": ends[p], "marker": self._position(p), "through": through, "at": now}
            for p, through in self._through.items()
            if p in ends
        }
        self._counters.report(self._topic.id, reports)
        self.progress.lag = sum(ends[p] - self._position(p) for p in ends)
        self.progress.age_ms = now - min((r["through"] for r in reports.values()), default=now)

    def _markers_hold(self, topic: Topic) -> bool:
        """Whether the markers are as believed. A Redis that was rolled back is found out by
        the next apply, but where nothing arrives there is none."""
        found = self._counters.markers(topic.id, topic.partitions)
        for shard, markers in enumerate(found):
            for p in self._assigned:
                if markers[p] != self._markers[shard][p]:
                    logger.warning(
                        "Partition %d, shard %d: the marker is %d, not %d; beginning at the "
                        "markers again.",
                        p, shard, markers[p], self._markers[shard][p],
                    )  # fmt: skip
                    return False
        return True

    def _known_end(self, partition: int) -> int:
        """The partition's end as of the last fetch."""
        tp = TopicPartition(self._log.topic, partition)
        _, high = self._kafka.get_watermark_offsets(tp, cached=True)
        return max(int(high), self._ends[partition], self._position(partition))

    def _commit(self) -> None:
        """For lag tools only; a failure means nothing."""
        offsets = [TopicPartition(self._log.topic, p, self._position(p)) for p in self._assigned]
        try:
            if offsets:
                self._kafka.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            logger.debug("The offsets were not committed: %s", error)

    def _forget_ids(self) -> None:
        assert self._topic is not None  # noqa: S101  see _keep_house
        idle = [p for p in self._assigned if self._through.get(p) == self._reached_ms]
        self._counters.advance_clocks(self._topic.id, idle, self._reached_ms - CLOCK_MARGIN_MS)
        self._counters.forget_ids(self._topic.id, self._topic.partitions, CLOCK_MARGIN_MS)

    def _wait_in_group(self, seconds: float) -> None:
        """Wait without leaving the group: what is read meanwhile is not used."""
        self._stop.wait(seconds)
        self._kafka.consume(1, timeout=0)

    def _close(self) -> None:
        self._due.clear()
        try:
            self._keep_house()
        except (LogUnavailable, redis.RedisError) as trouble:
            logger.warning("The last report was not written: %s", trouble)
        self._kafka.close()
