"""Counts batches while the next ones are read: Redis works on one, this process on another.

A batch takes three turns. What it has to know is asked for when it comes; when the next batch has
been read it is aggregated; and it is applied while that one is aggregated in turn. One thread
talks to Redis, so that everything happens there in the order in which it was asked for.

Nothing of the protocol (SPEC.md §5) rests on this order: the script compares the marker, the ids
and the visits. What it refuses is counted again, one step after the other.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from processing.counters import Outcome
from processing.counting import Batch, Counting, Part
from processing.deltas import Deltas, Known


@dataclass
class _Flight:
    """A part of a batch on its way into its shard."""

    part: Part
    answer: Future[Known]
    deltas: Deltas | None = None
    outcome: Future[Outcome] | None = None


class Overlap:
    """`counted` is called with each batch that every shard has counted.

    Raises what `Counting` raises, perhaps later than it happened; `abandon` is to be called then.
    """

    def __init__(self, counting: Counting, counted: Callable[[Batch], None]) -> None:
        self._counting = counting
        self._counted = counted
        self._redis = ThreadPoolExecutor(max_workers=1, thread_name_prefix="redis")
        self._looking: list[_Flight] = []
        self._applying: list[_Flight] = []
        # Per shard and partition, the marker when all that began is applied.
        self._next: dict[tuple[int, int], int] = {}

    def position(self, partition: int) -> int:
        """The first offset with which some shard has not begun."""
        return min(self._expected(shard, partition) for shard in range(self._counting.shards))

    def begin(self, batch: Batch) -> None:
        """Count what of it is not counted yet, some time until `finish`."""
        flights = []
        for shard in range(self._counting.shards):
            expected = self._expected(shard, batch.partition)
            if expected < batch.next:
                part = self._counting.part(shard, batch, expected)
                answer = self._redis.submit(self._counting.look_up, part)
                flights.append(_Flight(part, answer))
                self._next[shard, batch.partition] = batch.next
        self._apply_last()
        self._looking = flights

    def finish(self) -> None:
        """Return when everything that began is counted."""
        self._apply_last()
        self._settle()

    def abandon(self) -> None:
        """Give up what is under way. When this returns, nothing of it writes any more."""
        self._redis.shutdown(wait=True, cancel_futures=True)
        self._applying = self._looking = []

    def _expected(self, shard: int, partition: int) -> int:
        return max(self._next.get((shard, partition), 0), self._counting.marker(shard, partition))

    def _apply_last(self) -> None:
        """Aggregate the batch whose answers have come, while the one before it is applied."""
        for flight in self._looking:
            known = flight.answer.result()
            # Asked for when these had not been applied yet.
            for before in self._applying:
                if before.deltas is not None and before.part.shard == flight.part.shard:
                    known.go_on_with(before.deltas)
            flight.deltas = self._counting.aggregate(flight.part, known)
        if not self._settle():
            self._count_again(self._looking)
            self._looking = []
        for flight in self._looking:
            assert flight.deltas is not None  # noqa: S101  aggregated above
            flight.outcome = self._redis.submit(self._counting.apply, flight.part, flight.deltas)
        self._applying, self._looking = self._looking, []

    def _settle(self) -> bool:
        """Wait until the applied batch is; False if it took more than one try: what was aggregated
        after it may not be true."""
        refused = []
        for flight in self._applying:
            assert flight.outcome is not None  # noqa: S101  see _apply_last
            shard, partition = flight.part.shard, flight.part.batch.partition
            if not self._counting.settle(shard, partition, flight.outcome.result()):
                refused.append(flight)
        if self._applying and not refused:
            self._counted(self._applying[0].part.batch)
        self._count_again(refused)
        self._applying = []
        return not refused

    def _count_again(self, flights: list[_Flight]) -> None:
        """One step after the other."""
        for flight in flights:
            self._counting.count_in(flight.part.shard, flight.part.batch)
        if flights:
            self._counted(flights[0].part.batch)
