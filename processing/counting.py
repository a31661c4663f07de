"""Counts consecutive events of one log, wherever they were read: from Kafka or the archive."""

import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from confluent_kafka import Message

from ingest.pageview import PageView, UndecodableMessage, decode
from processing import keys
from processing.aggregation import FORGOTTEN, HOLES, INVALID, Aggregator, Portion
from processing.counters import HELD, KNOWN, MOVED, Counters, Outcome, Range
from processing.deltas import Deltas, Known, Lookups
from processing.duplicate_notes import DuplicateNotes
from processing.forgotten import Forgotten

# How long to wait before a held shard is tried again.
HELD_S = 0.02
# How long to wait before the database is asked again for what the store was told to forget.
UNKNOWN_S = 0.5


class MarkerMoved(RuntimeError):
    """Raised when the store's marker is not where it was believed: another consumer counted,
    or the store was rolled back or emptied. What is held is to be forgotten."""


class ForgettingUnknown(MarkerMoved):
    """Raised when the store was told to forget what the database knows nothing of."""


@dataclass
class Batch:
    """Consecutive events of one partition. `offsets` are all that were read: `places` where each
    page view lies, those in `invalid` hold none, and those in `forgotten` none any more."""

    partition: int
    page_views: list[PageView] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    invalid: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)

    @property
    def next(self) -> int:
        return self.offsets[-1] + 1

    def only(self, sites: Container[str]) -> "Batch":
        """The same range with nothing of it but these sites' page views."""
        kept, _ = self._divided(lambda page_view: page_view.site in sites)
        return kept

    def end(self) -> "Batch":
        """The same range with nothing but its last page view."""
        return Batch(self.partition, self.page_views[-1:], self.places[-1:], offsets=self.offsets)

    def add(self, offset: int, page_view: PageView | None) -> None:
        self.offsets.append(offset)
        if page_view is None:
            self.invalid.append(offset)
        else:
            self.places.append(offset)
            self.page_views.append(page_view)

    def add_forgotten(self, offset: int) -> None:
        self.offsets.append(offset)
        self.forgotten.append(offset)

    def without(self, forgotten: Forgotten) -> "Batch":
        """The same range with nothing of what is forgotten; itself where that is nothing."""
        if not forgotten.sites:
            return self
        batch, hidden = self._divided(lambda page_view: page_view not in forgotten)
        batch.invalid, batch.forgotten = self.invalid, [*self.forgotten, *hidden]
        return batch

    def _divided(self, is_kept: Callable[[PageView], bool]) -> tuple["Batch", list[int]]:
        """The same range with some of its page views only, and where the others lie."""
        batch, others = Batch(self.partition, offsets=self.offsets), []
        for offset, page_view in zip(self.places, self.page_views, strict=True):
            if is_kept(page_view):
                batch.places.append(offset)
                batch.page_views.append(page_view)
            else:
                others.append(offset)
        return batch, others


@dataclass(frozen=True)
class Part:
    """What one shard counts at once, and what has to be known for it. `batches`, of different
    partitions, each with the marker from which on it is not counted yet; `forgotten`: the number
    of the last forgetting that was heeded."""

    shard: int
    batches: list[tuple[Batch, int]]
    portions: list[Portion]
    wanted: Lookups
    forgotten: int

    @property
    def events(self) -> int:
        return sum(len(portion.page_views) for portion in self.portions)


def batches(messages: Iterable[Message], partition: int, most: int = 5_000) -> Iterator[Batch]:
    """Consecutive messages of one partition, decoded, at most so many at a time."""
    batch = Batch(partition)
    for message in messages:
        try:
            batch.add(message.offset() or 0, decode(message.value()))
        except UndecodableMessage:
            batch.add(message.offset() or 0, None)
        if len(batch.offsets) >= most:
            yield batch
            batch = Batch(partition)
    if batch.offsets:
        yield batch


class Counting:
    """Moves the markers of one log in all shards. `clock` gives Unix milliseconds. `notes`, where
    there are some, are believed: what was a duplicate is one again, and what was none comes first.

    Raises `redis.RedisError` when it is unknown what was written; then, and after
    `MarkerMoved`, it begins again with a new object, which reads the markers.
    """

    def __init__(
        self,
        counters: Counters,
        aggregators: Sequence[Aggregator],
        topic_id: str,
        partitions: int,
        clock: Callable[[], int],
        notes: DuplicateNotes | None = None,
    ) -> None:
        self.topic_id = topic_id
        self._notes = notes
        self._counters = counters
        self._aggregators = aggregators
        self._clock = clock
        # Per shard and partition, the marker as it is believed to be.
        self._markers = [dict(enumerate(found)) for found in counters.markers(topic_id, partitions)]

    def position(self, partition: int) -> int:
        """The first offset that not every shard has counted."""
        return min(markers[partition] for markers in self._markers)

    @property
    def shards(self) -> int:
        return len(self._markers)

    def marker(self, shard: int, partition: int) -> int:
        return self._markers[shard][partition]

    def confirm(self) -> None:
        """Raises `MarkerMoved` unless the store still says what is believed."""
        found = self._counters.markers(self.topic_id, len(self._markers[0]))
        for shard, markers in enumerate(self._markers):
            for partition, believed in markers.items():
                if found[shard][partition] < believed:
                    raise MarkerMoved(
                        f"The store was rolled back or emptied: partition {partition}, shard "
                        f"{shard} was counted up to {believed}, the marker is "
                        f"{found[shard][partition]}."
                    )

    def count(self, batch: Batch) -> None:
        """Count what of the batch is not counted yet, in each shard at once or not at all."""
        for shard in range(len(self._markers)):
            self.count_in(shard, batch)

    def count_in(self, shard: int, batch: Batch) -> None:
        """The same in one shard only."""
        while (marker := self._markers[shard][batch.partition]) < batch.next:
            self._try(shard, batch, marker)

    def pass_over(self, partition: int, to: int, category: str) -> int:
        """Move the markers to `to` over offsets that can't be read; returns how many."""
        shards = range(len(self._markers))
        return max(self.pass_over_in(shard, partition, to, category) for shard in shards)

    def pass_over_in(self, shard: int, partition: int, to: int, category: str) -> int:
        """The same in one shard only."""
        markers = self._markers[shard]
        offsets = max(0, to - markers[partition])
        while markers[partition] < to:
            self._pass(shard, partition, to, {category: offsets})
        return offsets

    def part(self, shard: int, batches: Iterable[tuple[Batch, int]]) -> Part:
        """What of the batches is the shard's, each from an offset on, without what is
        forgotten."""
        forgotten = self._counters.forgotten()
        heeded = [(batch.without(forgotten), expected) for batch, expected in batches]
        portions = [self._portion(shard, batch, expected) for batch, expected in heeded]
        page_views = chain.from_iterable(portion.page_views for portion in portions)
        wanted = self._aggregators[shard].lookups(page_views)
        return Part(shard, heeded, portions, wanted, forgotten.number)

    def _portion(self, shard: int, batch: Batch, expected: int) -> Portion:
        page_views, offsets = self._own(shard, batch, expected)
        noted: Container[int] = ()
        if self._notes is not None:
            noted = self._notes.among(shard, self.topic_id, batch.partition, offsets)
        return Portion(batch.partition, page_views, offsets, noted)

    def _own(self, shard: int, batch: Batch, expected: int) -> tuple[list[PageView], list[int]]:
        """The page views, and where they lie."""
        shards = len(self._aggregators)
        if shards == 1 and expected <= batch.offsets[0]:
            return batch.page_views, batch.places
        own = [
            (page_view, offset)
            for page_view, offset in zip(batch.page_views, batch.places, strict=True)
            if offset >= expected and keys.shard_of(page_view.site, shards) == shard
        ]
        return [page_view for page_view, _ in own], [offset for _, offset in own]

    def look_up(self, part: Part) -> Known:
        return self._counters.look_up(part.wanted)

    def aggregate(self, part: Part, known: Known) -> Deltas:
        aggregator, now_s = self._aggregators[part.shard], self._clock() // 1000
        deltas = aggregator.aggregate(part.portions, known, now_s)
        for batch, expected in part.batches:
            _tally_unread(deltas, part.shard, batch, expected)
        deltas.absent[keys.forgotten(part.shard)] = {str(part.forgotten + 1)}
        return deltas

    def apply(self, part: Part, deltas: Deltas) -> Outcome:
        ranges = [Range(batch.partition, expected, batch.next) for batch, expected in part.batches]
        return self._apply(part.shard, ranges, deltas)

    def settle(self, part: Part, outcome: Outcome) -> bool:
        """Whether it was applied. Raises `MarkerMoved`."""
        if not self._is_applied(part.shard, outcome):
            return False
        for batch, _ in part.batches:
            self._markers[part.shard][batch.partition] = batch.next
        return True

    def _is_applied(self, shard: int, outcome: Outcome) -> bool:
        if outcome.result == MOVED:
            raise MarkerMoved(
                f"Partition {outcome.partition}, shard {shard}: the marker is {outcome.marker}, "
                f"not {self._markers[shard][outcome.partition]}. Another consumer counted, or "
                "Redis was rolled back."
            )
        if outcome.result == KNOWN and outcome.key.endswith(keys.forgotten(shard)):
            self._learn_forgotten()
        return outcome.result != KNOWN

    def _try(self, shard: int, batch: Batch, expected: int) -> None:
        """One try: what another partition brought meanwhile makes it look again, as does what is
        to be forgotten."""
        part = self.part(shard, [(batch, expected)])
        deltas = self.aggregate(part, self.look_up(part))
        self.settle(part, self.apply(part, deltas))

    def _pass(self, shard: int, partition: int, to: int, ledger: dict[str, int]) -> None:
        offsets = Range(partition, self._markers[shard][partition], to)
        deltas = Deltas(ledger={partition: ledger})
        if self._is_applied(shard, self._apply(shard, [offsets], deltas)):
            self._markers[shard][partition] = to

    def _apply(self, shard: int, ranges: Sequence[Range], deltas: Deltas) -> Outcome:
        """Waits while the shard's numbers are being swapped, which Redis ends after some seconds:
        what they are swapped for has counted up to the same markers, and whether all else is still
        so is asked then."""
        while True:
            outcome = self._counters.apply(shard, self.topic_id, ranges, deltas)
            if outcome.result != HELD:
                return outcome
            time.sleep(HELD_S)

    def _learn_forgotten(self) -> None:
        """Something was forgotten that this process does not know of yet."""
        known = self._counters.forgotten().number
        if self._counters.forgotten(known + 1).number == known:
            time.sleep(UNKNOWN_S)
            raise ForgettingUnknown(
                "The store was told to forget something that is not in the database, which does "
                "not answer or was put back. Without that nothing is counted: run the same "
                "`manage.py forget` again."
            )


def _tally_unread(deltas: Deltas, shard: int, batch: Batch, expected: int) -> None:
    """What belongs to no site is told once, by the first shard; holes by each."""
    invalid = sum(1 for offset in batch.invalid if offset >= expected)
    forgotten = sum(1 for offset in batch.forgotten if offset >= expected)
    for category, events in ((INVALID, invalid), (FORGOTTEN, forgotten)):
        if shard == 0 and events:
            deltas.tally(batch.partition, category, events)
    holes = batch.next - expected - sum(1 for offset in batch.offsets if offset >= expected)
    if holes:
        deltas.tally(batch.partition, HOLES, holes)
