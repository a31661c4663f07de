"""Counts archived events like those of the log: by the same apply, at the same markers
(SPEC.md §7). So it may be killed at any moment and goes on where it was, and two at once do
no harm."""

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.db import DatabaseError
from django.db.models import Max, Min

from processing.aggregation import EXPIRED, HOLES, Aggregator
from processing.archive import Archive
from processing.counters import Counters
from processing.counting import Counting
from processing.duplicate_notes import DuplicateNotes
from processing.models import Segment

logger = logging.getLogger(__name__)

# Processes' clocks may differ by this much, and an event may be on its way for as long.
CLOCK_MARGIN_MS = 60_000
_NEVER_MS = 2**53

# Per log, per partition: the offset up to which it was planned to be archived.
Planned = dict[str, dict[int, int]]


class RepairWaits(RuntimeError):
    """Raised when the archive can't be read now, or another process repairs; try again."""


class ArchiveReplay:
    """Reads segments of `archive` into `counters`, at most `batch_events` at a time.

    `sites`: only their events are counted; None: everything. `clock` gives Unix milliseconds.
    `notes` of duplicates are believed (see `Counting`).
    """

    def __init__(
        self,
        archive: Archive,
        counters: Counters,
        aggregators: Sequence[Aggregator],
        batch_events: int,
        clock: Callable[[], int],
        sites: Container[str] | None = None,
        notes: DuplicateNotes | None = None,
    ) -> None:
        self.archive = archive
        self.counters = counters
        self._aggregators = aggregators
        self._batch_events = batch_events
        self._clock = clock
        self._sites = sites
        self._notes = notes

    def planned(self, topic: str) -> Planned:
        """Every log of the topic, in the order in which they began. Raises `RepairWaits`."""
        rows = Segment.objects.filter(topic=topic).values_list("topic_id", "partition")
        with archive_read():
            found = list(rows.annotate(Min("planned_at"), Max("end")).order_by())
        planned: Planned = {}
        for topic_id, partition, _, end in sorted(found, key=lambda row: row[2]):
            planned.setdefault(topic_id, {})[partition] = end
        return planned

    def counting(self, topic_id: str, partitions: int) -> Counting:
        return Counting(
            self.counters, self._aggregators, topic_id, partitions, self._clock, self._notes
        )

    def earlier_log(self, topic_id: str, planned: Mapping[int, int]) -> Iterator[int]:
        """Count what is not counted of a log that has ended; yields events, a batch a step."""
        counting = self.counting(topic_id, max(planned) + 1)
        silent = set(range(max(planned))) - set(planned)
        self.counters.advance_clocks(topic_id, silent, _NEVER_MS)
        yield from self.segments(counting, planned)

    def segments(self, counting: Counting, before: Mapping[int, int]) -> Iterator[int]:
        """Count the segments that begin before these offsets, in the order in which their
        events arrived as far as it is known: so the first of two equal ids is the same.

        Yields events, a batch a step. Raises `RepairWaits`, and what `Counting` raises.
        """
        segments = Segment.objects.filter(topic_id=counting.topic_id, partition__in=before)
        with archive_read():
            rows = list(segments.values_list("pk", "partition", "start", "planned_at"))
        for pk in in_order(rows):
            with archive_read():
                segment = Segment.objects.get(pk=pk)
            position = counting.position(segment.partition)
            if segment.start < before[segment.partition] and position < segment.end:
                yield from self._segment(counting, segment)
                self.counters.forget_steps(counting.topic_id, max(before) + 1, CLOCK_MARGIN_MS)

    def _segment(self, counting: Counting, segment: Segment) -> Iterator[int]:
        with archive_read():
            self.archive.write(segment)
        if segment.state == Segment.State.FAILED:
            raise RepairWaits(f"the archive's segment {segment.pk} can't be written now")
        counting.pass_over(segment.partition, segment.start, EXPIRED)
        if segment.state == Segment.State.LOST:
            self._pass_over_lost(counting, segment)
            return
        batches = self.archive.batches(segment, self._batch_events)
        while True:
            with archive_read():
                batch = next(batches, None)
            if batch is None:
                break
            counting.count(batch if self._sites is None else batch.only(self._sites))
            yield len(batch.offsets)
        counting.pass_over(segment.partition, segment.end, HOLES)

    @staticmethod
    def _pass_over_lost(counting: Counting, segment: Segment) -> None:
        lost = counting.pass_over(segment.partition, segment.end, EXPIRED)
        logger.error(
            "%d events (%s of log %s) are neither in Kafka nor in the archive.",
            lost, segment, segment.topic_id,
        )  # fmt: skip


def in_order(rows: Iterable[tuple[int, int, int, datetime]]) -> list[int]:
    """The first of each (segment, partition, start, time of its plan), by that time, but each
    partition's by their starts: a planner's clock may have been behind the one before it, and
    what lies before a marker counts as expired."""
    latest: dict[int, datetime] = {}
    order = []
    for pk, partition, start, planned_at in sorted(rows, key=lambda row: row[1:3]):
        latest[partition] = max(planned_at, latest.get(partition, planned_at))
        order.append((latest[partition], partition, start, pk))
    return [pk for *_, pk in sorted(order)]


@contextmanager
def archive_read() -> Iterator[None]:
    try:
        yield
    except (DatabaseError, OSError) as error:
        raise RepairWaits(f"the archive can't be read now: {error}") from error
