"""Fills a live store that lacks what it should have: emptied, or passed by Kafka's retention
(SPEC.md §7)."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from processing import keys
from processing.archive_replay import ArchiveReplay, Planned, RepairWaits
from processing.counting import Counting

logger = logging.getLogger(__name__)

LOCK_S = 60.0


class Repair:
    """What a consumer does before it counts, by steps, so that it can stay in its group."""

    def __init__(self, replay: ArchiveReplay) -> None:
        self._replay = replay
        self._counters = replay.counters

    def announce(self, topic: str, topic_id: str, counted_to: Mapping[int, int]) -> None:
        """Tell readers where a store is empty and is being rebuilt, and up to where: the
        archive's end and `counted_to`, what was known to be counted of `topic_id`."""
        if self._counters.has_logs(topic):
            return
        planned = self._replay.planned(topic)
        current = planned.setdefault(topic_id, {})
        for partition, offset in counted_to.items():
            current[partition] = max(offset, current.get(partition, 0))
        goals = {(log, p): end for log, ends in planned.items() for p, end in ends.items() if end}
        if goals:
            logger.warning("The live store is empty and is rebuilt from archive and log.")
            self._counters.begin_rebuilding(topic, goals)

    def earlier_logs(self, topic: str, topic_id: str) -> Iterator[int]:
        """Count what is not counted of the logs before `topic_id`; a step a batch.

        Raises `RepairWaits`, and what `Counting` raises.
        """
        planned = self._replay.planned(topic)
        planned.pop(topic_id, None)
        if any(self._is_unfinished(log, ends) for log, ends in planned.items()):
            with self._alone(topic) as stay_alone:
                for events in self._count_all(topic, planned):
                    stay_alone()
                    yield events

    def expired(
        self, counting: Counting, starts: Mapping[int, int], assigned: Iterable[int]
    ) -> Iterator[int]:
        """Count what of a log's `assigned` partitions lies before `starts`, where Kafka no
        longer has it; a step a batch."""
        gaps = {p: starts[p] for p in assigned if counting.position(p) < starts[p]}
        if gaps:
            yield from self._replay.segments(counting, gaps)

    def _count_all(self, topic: str, planned: Planned) -> Iterator[int]:
        for log, ends in planned.items():
            yield from self._replay.earlier_log(log, ends)
            self._counters.remember_earlier_log(topic, log)
            self._counters.rebuilt(topic, log, ends)

    def _is_unfinished(self, topic_id: str, planned: Mapping[int, int]) -> bool:
        counting = self._replay.counting(topic_id, max(planned) + 1)
        return any(counting.position(partition) < end for partition, end in planned.items())

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
