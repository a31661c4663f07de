"""Counts what was read while more is read: Redis works on the one, this process on the other.

What is read at once takes three turns. What it has to know is asked for when it comes; when more
has been read it is aggregated; and it is applied while that is aggregated in turn. One thread talks
to Redis, so that everything happens there in the order in which it was asked for.

Nothing of the protocol (SPEC.md §5) rests on this order: the script compares the markers, the ids
and the visits. What it refuses is counted again, one step after the other, or read again where it
was too much to be kept for that.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from processing.counters import Outcome
from processing.counting import Batch, Counting, MarkerMoved, Part
from processing.deltas import Deltas, Known, Lookups

# Up to so many events are kept until they are applied. An event takes 1.3 KB.
MOST_KEPT = 5_000


class Refused(MarkerMoved):
    """Raised when something that was looked up has changed before it was counted, and the events
    are gone."""


@dataclass
class _Flight:
    """What a shard counts of what was read at once, on its way there."""

    part: Part
    answer: Future[Known]
    deltas: Deltas | None = None
    outcome: Future[Outcome] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether `part` still has its events."""
        return bool(self.part.portions)

    def aggregated(self, deltas: Deltas) -> None:
        """Many events are let go of: they take a third of the memory that this process may have."""
        self.deltas = deltas
        if self.part.events > MOST_KEPT:
            batches = [(batch.end(), expected) for batch, expected in self.part.batches]
            self.part = replace(self.part, batches=batches, portions=[], wanted=Lookups())


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

    def begin(self, batches: Sequence[Batch]) -> None:
        """Count what of them, each of another partition, is not counted yet, some time until
        `finish`."""
        flights = []
        for shard in range(self._counting.shards):
            expected = [(batch, self._expected(shard, batch.partition)) for batch in batches]
            new = [(batch, marker) for batch, marker in expected if marker < batch.next]
            if new:
                part = self._counting.part(shard, new)
                answer = self._redis.submit(self._counting.look_up, part)
                flights.append(_Flight(part, answer))
                self._next.update({(shard, batch.partition): batch.next for batch, _ in new})
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
        """Aggregate that of which the answers have come, while what was before it is applied."""
        for flight in self._looking:
            known = flight.answer.result()
            # Asked for when these had not been applied yet.
            for before in self._applying:
                if before.deltas is not None and before.part.shard == flight.part.shard:
                    known.go_on_with(before.deltas)
            flight.aggregated(self._counting.aggregate(flight.part, known))
        if not self._settle():
            self._count_again(self._looking)
            self._tell(self._looking)
            self._looking = []
        for flight in self._looking:
            assert flight.deltas is not None  # noqa: S101  aggregated above
            flight.outcome = self._redis.submit(self._counting.apply, flight.part, flight.deltas)
        self._applying, self._looking = self._looking, []

    def _settle(self) -> bool:
        """Wait until what is applied is; False if it took more than one try: what was aggregated
        after it may not be true."""
        refused = []
        for flight in self._applying:
            assert flight.outcome is not None  # noqa: S101  see _apply_last
            if not self._counting.settle(flight.part, flight.outcome.result()):
                refused.append(flight)
        self._count_again(refused)
        self._tell(self._applying)
        self._applying = []
        return not refused

    def _count_again(self, flights: list[_Flight]) -> None:
        """One step after the other."""
        for flight in flights:
            batches = [batch for batch, _ in flight.part.batches]
            if not flight.is_whole:
                partitions = ", ".join(str(batch.partition) for batch in batches)
                raise Refused(
                    f"Partition {partitions}, shard {flight.part.shard}: something that was "
                    "looked up for these events is no longer so."
                )
            for batch in batches:
                self._counting.count_in(flight.part.shard, batch)

    def _tell(self, counted: list[_Flight]) -> None:
        batches = {batch.partition: batch for flight in counted for batch, _ in flight.part.batches}
        for batch in batches.values():
            self._counted(batch)
