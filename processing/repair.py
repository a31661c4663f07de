"""Counts from the archive what the live store lacks and Kafka no longer holds (SPEC.md §7).

Archived events are counted like those of the log: by the same apply, at the same markers. So
a repair may be killed at any moment and goes on where it was, and two at once do no harm.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.db import DatabaseError
from django.db.models import Max, Min

from processing import keys
from processing.aggregation import EXPIRED, HOLES, Aggregator
from processing.archive import Archive
from processing.counters import Counters
from processing.counting import Counting
from processing.models import Segment

logger = logging.getLogger(__name__)

LOCK_S = 60.0

# Per log, per partition: the offset up to which it was planned to be archived.
Planned = dict[str, dict[int, int]]


class RepairWaits(RuntimeError):
    """Raised when the archive can't be read now, or another process repairs; try again."""


class Repair:
    """Reads segments of `archive` into the live store. `clock` gives Unix milliseconds."""

    def __init__(
        self,
        archive: Archive,
        counters: Counters,
        aggregators: Sequence[Aggregator],
        batch_events: int,
        clock: Callable[[], int],
    ) -> None:
        self._archive = archive
        self._counters = counters
        self._aggregators = aggregators
        self._batch_events = batch_events
        self._clock = clock

    def announce(self, topic: str, topic_id: str, counted_to: Mapping[int, int]) -> bool:
        """Tell readers that an emptied store is being rebuilt, and up to where: the archive's
        end and `counted_to`, what was known to be counted of `topic_id`. Whether it is so."""
        with _archive_read():
            planned = self._planned(topic)
        current = planned.setdefault(topic_id, {})
        for partition, offset in counted_to.items():
            current[partition] = max(offset, current.get(partition, 0))
        goals = {(log, p): end for log, ends in planned.items() for p, end in ends.items() if end}
        if goals and not self._counters.has_logs(topic):
            logger.warning("The live store is empty and is rebuilt from archive and log.")
            self._counters.begin_rebuilding(topic, goals)
        return bool(goals)

    def earlier_logs(self, topic: str, topic_id: str) -> Iterator[None]:
        """Count what is not counted of the logs before `topic_id`; a step a batch.

        Raises `RepairWaits`, and what `Counting` raises.
        """
        with _archive_read():
            planned = self._planned(topic)
        planned.pop(topic_id, None)
        unfinished = [log for log in planned if self._is_unfinished(log, planned[log])]
        if not unfinished:
            return
        with self._alone(topic) as stay_alone:
            for log in unfinished:
                counting = self._counting(log, planned[log])
                for _ in self._count(counting, planned[log]):
                    stay_alone()
                    yield
                self._counters.remember_earlier_log(topic, log)
                self._counters.rebuilt(topic, log, planned[log])

    def expired(
        self, counting: Counting, starts: Mapping[int, int], assigned: Iterable[int]
    ) -> Iterator[None]:
        """Count what of a log's `assigned` partitions lies before `starts`, where Kafka no
        longer has it; a step a batch."""
        gaps = {p: starts[p] for p in assigned if counting.position(p) < starts[p]}
        if gaps:
            yield from self._count(counting, gaps)

    def _planned(self, topic: str) -> Planned:
        """In the order in which the logs began."""
        rows = Segment.objects.filter(topic=topic).values_list("topic_id", "partition")
        found = sorted(rows.annotate(Min("planned_at"), Max("end")).order_by(), key=lambda r: r[2])
        planned: Planned = {}
        for topic_id, partition, _, end in found:
            planned.setdefault(topic_id, {})[partition] = end
        return planned

    def _is_unfinished(self, topic_id: str, planned: Mapping[int, int]) -> bool:
        counting = self._counting(topic_id, planned)
        return any(counting.position(partition) < end for partition, end in planned.items())

    def _counting(self, topic_id: str, planned: Mapping[int, int]) -> Counting:
        partitions = max(planned) + 1
        return Counting(self._counters, self._aggregators, topic_id, partitions, self._clock)

    def _count(self, counting: Counting, before: Mapping[int, int]) -> Iterator[None]:
        """The segments that begin before these offsets, in the order in which they arrived as
        far as it is known, so that the same one of two equal ids is the first."""
        segments = Segment.objects.filter(topic_id=counting.topic_id, partition__in=before)
        with _archive_read():
            pks = list(segments.order_by("planned_at", "partition", "start").values_list("pk"))
        for (pk,) in pks:
            with _archive_read():
                segment = Segment.objects.get(pk=pk)
            position = counting.position(segment.partition)
            if segment.start < before[segment.partition] and position < segment.end:
                yield from self._count_segment(counting, segment)

    def _count_segment(self, counting: Counting, segment: Segment) -> Iterator[None]:
        with _archive_read():
            self._archive.write(segment)
        if segment.state == Segment.State.FAILED:
            raise RepairWaits(f"the archive's segment {segment.pk} can't be written now")
        counting.pass_over(segment.partition, segment.start, EXPIRED)
        if segment.state == Segment.State.LOST:
            lost = counting.pass_over(segment.partition, segment.end, EXPIRED)
            logger.error(
                "%d events (%s of log %s) are neither in Kafka nor in the archive.",
                lost, segment, segment.topic_id,
            )  # fmt: skip
            return
        batches = self._archive.batches(segment, self._batch_events)
        while True:
            with _archive_read():
                batch = next(batches, None)
            if batch is None:
                break
            counting.count(batch)
            yield
        counting.pass_over(segment.partition, segment.end, HOLES)

    @contextmanager
    def _alone(self, topic: str) -> Iterator[Callable[[], object]]:
        """One process at a time: two would only be in each other's way."""
        lock = self._counters.client.lock(keys.repair_lock(topic), timeout=LOCK_S)
        if not lock.acquire(blocking=False):
            raise RepairWaits("another consumer rebuilds the live store")
        try:
            yield lock.reacquire
        finally:
            if lock.owned():
                lock.release()


@contextmanager
def _archive_read() -> Iterator[None]:
    try:
        yield
    except (DatabaseError, OSError) as error:
        raise RepairWaits(f"the archive can't be read now: {error}") from error
