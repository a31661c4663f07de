"""Reads the log and counts it into the live store, each event exactly once (SPEC.md §5).

The markers in Redis are the only truth about what is counted. Whenever anything is not as
this consumer believed — it was given other partitions, an apply found another marker, a
call timed out, the topic was made again — it forgets what it holds, reads the markers and
begins there. One rule for all of them.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import redis
from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingest.pageview import PageView, decode
from processing.aggregation import EXPIRED, Aggregator
from processing.archive_replay import CLOCK_MARGIN_MS, RepairWaits
from processing.counters import Counters
from processing.counting import Batch, Counting, MarkerMoved
from processing.dead_letters import DeadLetter, DeadLetters
from processing.gaps import GapFound, Gaps
from processing.intake import Intake, Read
from processing.log import Log, LogUnavailable, Topic
from processing.overlap import Overlap
from processing.repair import Repair

logger = logging.getLogger(__name__)

REPORT_EVERY_MS = 500
COMMIT_EVERY_MS = 5_000
FORGET_EVERY_MS = 60_000
ROLLED_BACK_AFTER_MS = 30_000


class ConsumerStopped(RuntimeError):
    """Raised when counting can't go on without a person; the message says why and what to do."""


@dataclass
class Progress:
    """What the consumer has done and how far behind it is, for people."""

    events: int = 0
    lag: int | None = None
    age_ms: int | None = None


class PageViewConsumer:
    """One member of the consumer group.

    `repair` counts from the archive what Kafka no longer has; None: nothing is archived.
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
        repair: Repair | None = None,
        decode: Callable[[bytes | None], PageView] = decode,
    ) -> None:
        self._kafka = kafka
        self._intake = Intake(kafka, batch_events, decode)
        self._log = log
        self._counters = counters
        self._aggregators = aggregators
        self._dead_letters = dead_letters
        self._max_invalid = max_invalid
        self._clock = clock
        self._repair = repair
        self._stop = threading.Event()
        self._topic: Topic | None = None
        self._assigned: list[int] = []
        self._stale = False
        self._counting: Counting | None = None
        self._overlap: Overlap | None = None
        self._gaps = Gaps()
        # Offsets that have to be reached before an emptied store is whole again.
        self._goals: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._through: dict[int, int] = {}
        self._reached_ms = 0
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
            self._handle(self._intake.read())
            if not self._intake.is_behind:
                self._finish()
            self._keep_house()
        except (MarkerMoved, GapFound) as news:
            logger.warning("%s Beginning at the markers again.", news)
            self._stale = True
        except (LogUnavailable, RepairWaits, redis.RedisError) as trouble:
            logger.warning("Counting waits and will begin at the markers again: %s", trouble)
            self._stale = True
            self._wait_in_group(1.0)

    # --- Where to begin ---------------------------------------------------------------

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned = sorted(tp.partition for tp in partitions)
        self._stale = True
        # Where to begin is decided by `_synchronise`; until then nothing is read. An offset that
        # the broker has to be asked for could come in after the one that is decided on, and take
        # its place (librdkafka #5345).
        self._kafka.assign([])
        logger.info("Partitions assigned: %s", self._assigned)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {tp.partition for tp in partitions}
        self._assigned = [p for p in self._assigned if p not in gone]
        self._stale = True
        logger.info("Partitions revoked: %s", sorted(gone))

    def _synchronise(self) -> None:
        """Read the markers and begin there."""
        if self._overlap is not None:
            self._overlap.abandon()
            self._overlap = None
        topic = self._topic = self._describe_topic()
        if not self._is_known(topic) and not self._count_earlier_logs(topic):
            return
        counting = Counting(
            self._counters, self._aggregators, topic.id, topic.partitions, self._clock
        )
        starts = self._log.starts(topic.partitions)
        if self._repair and not self._work(self._repair.expired(counting, starts, self._assigned)):
            return
        self._skip_expired(counting, starts)
        self._counting = counting
        self._overlap = Overlap(counting, self._note_counted)
        self._goals = self._counters.rebuilding(topic.name, topic.id)
        self._ends = self._log.ends(topic.partitions)
        self._refuse_rollback(self._ends)
        self._kafka.assign(
            [TopicPartition(topic.name, p, self._position(p)) for p in self._assigned]
        )
        self._through = {}
        self._intake.begin_anew()
        self._reached_ms = self._clock()
        self._stale = False

    def _is_known(self, topic: Topic) -> bool:
        return self._counters.knows_log(topic.name, topic.id)

    def _count_earlier_logs(self, topic: Topic) -> bool:
        """Before a store that does not know this log counts it, what the archive has of earlier
        ones: in a new log nothing is to be done, in an emptied store everything. Whether it
        is finished."""
        if self._repair:
            known = self._counting
            believed = {p: known.position(p) for p in self._assigned} if known else {}
            self._repair.announce(topic.name, topic.id, believed)
            if not self._work(self._repair.earlier_logs(topic.name, topic.id)):
                return False
        self._counters.remember_log(topic.name, topic.id)
        return True

    def _work(self, steps: Iterator[int]) -> bool:
        """Take the steps, staying in the group; False when told to stop meanwhile."""
        for _ in steps:
            self._wait_in_group(0)
            if self._stop.is_set():
                return False
        return True

    def _position(self, partition: int) -> int:
        assert self._counting is not None  # noqa: S101  set before anything is read
        return self._counting.position(partition)

    def _begun(self, partition: int) -> int:
        assert self._overlap is not None  # noqa: S101  set before anything is read
        return self._overlap.position(partition)

    def _skip_expired(self, counting: Counting, starts: dict[int, int]) -> None:
        for partition in self._assigned:
            position = counting.position(partition)
            lost = counting.pass_over(partition, starts[partition], EXPIRED)
            if lost:
                logger.error(
                    "%d events of partition %d expired in Kafka before they were counted "
                    "(offsets %d to %d). They are told as expired in the ledger.",
                    lost, partition, position, starts[partition] - 1,
                )  # fmt: skip

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

    # --- Counting ---------------------------------------------------------------------

    def _handle(self, read: Read) -> None:
        """Count what was read, or nothing of it from where the markers say otherwise."""
        self._stale |= read.is_astray
        if self._stale or not read.batches:
            return
        self._confirm_topic()
        for batch in read.batches.values():
            self._gaps.check(batch.partition, self._begun(batch.partition), batch.offsets)
        self._bury(read.letters)
        self._count(list(read.batches.values()))

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
        invalid = self._intake.invalid_in_a_row
        if invalid >= self._max_invalid:
            raise ConsumerStopped(
                f"The last {invalid} messages of {self._log.topic!r} are no page "
                f"views (the last reason: {letters[-1].reason}). Something else writes into the "
                "topic, or this version is too old for it. Nothing of them was counted; correct "
                "it, or raise CONSUMER_MAX_INVALID to put them all into the dead letters."
            )
        if letters:
            assert self._topic is not None  # noqa: S101  set before anything is read
            self._dead_letters.keep(letters, self._topic.id)
            logger.warning("%d messages could not be read: %s", len(letters), letters[-1].reason)

    def _count(self, batches: Sequence[Batch]) -> None:
        assert self._overlap is not None  # noqa: S101  set before anything is read
        self._overlap.begin(batches)

    def _finish(self) -> None:
        """Little waits to be read, so nothing is gained by counting meanwhile."""
        if self._overlap is not None and not self._stale:
            self._overlap.finish()

    def _note_counted(self, batch: Batch) -> None:
        self.progress.events += len(batch.offsets)
        if batch.page_views:
            self._through[batch.partition] = batch.page_views[-1].received

    # --- Housekeeping -----------------------------------------------------------------

    def _is_due(self, name: str, every_ms: int) -> bool:
        now = self._clock()
        if abs(now - self._due[name]) < every_ms:
            return False
        self._due[name] = now
        return True

    def _keep_house(self) -> None:
        if self._stale or self._counting is None:
            return
        if self._is_due("report", REPORT_EVERY_MS):
            self._report()
        if self._is_due("commit", COMMIT_EVERY_MS):
            self._commit()
        if self._is_due("forget", FORGET_EVERY_MS):
            self._forget()

    def _report(self) -> None:
        """Tell readers how far the numbers go."""
        assert self._topic is not None  # noqa: S101  see _keep_house
        assert self._counting is not None  # noqa: S101  see _keep_house
        # Where nothing is to be counted, nothing else would tell that the store was emptied.
        self._counting.confirm()
        # Either way: the clock may have been put back.
        if abs(self._clock() - self._reached_ms) >= REPORT_EVERY_MS:
            self._confirm_topic()
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
        self._tell_rebuilt(self._topic)
        self.progress.lag = sum(ends[p] - self._position(p) for p in ends)
        self.progress.age_ms = now - min((r["through"] for r in reports.values()), default=now)

    def _tell_rebuilt(self, topic: Topic) -> None:
        reached = [
            partition
            for partition in self._assigned
            if self._position(partition) >= self._goals.get(partition, 2**63)
        ]
        self._counters.rebuilt(topic.name, topic.id, reached)
        for partition in reached:
            del self._goals[partition]

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

    def _forget(self) -> None:
        assert self._topic is not None  # noqa: S101  see _keep_house
        idle = [p for p in self._assigned if self._through.get(p) == self._reached_ms]
        self._counters.advance_clocks(self._topic.id, idle, self._reached_ms - CLOCK_MARGIN_MS)
        self._counters.forget_steps(self._topic.id, self._topic.partitions, CLOCK_MARGIN_MS)

    def _wait_in_group(self, seconds: float) -> None:
        """Wait without leaving the group: what is read meanwhile is not used."""
        self._stop.wait(seconds)
        self._kafka.consume(1, timeout=0)

    def _close(self) -> None:
        self._due.clear()
        try:
            self._finish()
            self._keep_house()
        except (MarkerMoved, LogUnavailable, redis.RedisError) as trouble:
            logger.warning("The last report was not written: %s", trouble)
        if self._overlap is not None:
            self._overlap.abandon()
        self._kafka.close()
