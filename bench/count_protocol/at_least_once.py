"""The consumer without what makes it count exactly once.

It reads, decodes, aggregates and writes as the product does, in the same code. Left out are the
marker and its comparison, the check that nobody swaps the numbers, the ids seen, the ledger by
partition and the clock by partition, and the question for the topic's id before each batch. It
begins at Kafka's committed offset and commits after each batch, without waiting for the answer:
the cheapest way to count at least once.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from confluent_kafka import TopicPartition

from ingest.pageview import PageView
from processing.aggregation import Aggregator, Portion
from processing.consumer import PageViewConsumer
from processing.counters import APPLIED, Counters, Outcome, Range, RedisClient
from processing.counting import Batch, Counting
from processing.deltas import Deltas, Known, Lookups
from processing.log import Topic
from processing.overlap import Overlap

# The statements of apply.lua that are the protocol, by how they begin. A block goes to its `end`.
_PROTOCOL = (
    "for _, range in ipairs(b.ranges)",
    "if redis.call('EXISTS', KEYS[5])",
    "for _, check in ipairs(b.absent)",
    "for _, looked in ipairs(b.visits)",
    "for _, step in ipairs(b.ids)",
    "for key, may_go in pairs(remembered)",
    "for _, done in ipairs(b.ranges)",
)


class ScriptChanged(RuntimeError):
    """Raised when apply.lua no longer has a statement that this module takes away."""


class Forgetful(Aggregator):
    """Takes every id for new and remembers none."""

    def lookups(self, page_views: Iterable[PageView]) -> Lookups:
        return Lookups(visits=super().lookups(page_views).visits)

    def _remember(self, deltas: Deltas, page_view: PageView, known: Known) -> bool:
        return True


class WithoutLedger(Forgetful):
    """Tells no category and no clock of a partition either."""

    def aggregate(self, portions: Iterable[Portion], known: Known, now_s: int) -> Deltas:
        deltas = super().aggregate(portions, known, now_s)
        deltas.ledger, deltas.clocks, deltas.duplicates = {}, {}, {}
        return deltas


class Writes(Counters):
    """Writes what it is given: apply.lua without the protocol."""

    def __init__(self, client: RedisClient, shards: int) -> None:
        super().__init__(client, shards)
        self._script = client.register_script(writes_of_apply())

    def apply(self, shard: int, topic_id: str, ranges: Sequence[Range], deltas: Deltas) -> Outcome:
        super().apply(shard, topic_id, ranges, deltas)
        return Outcome(APPLIED)


class Following(Counting):
    """Counts each batch where the last one ended, whatever the store says."""

    def begin(self, offsets: Mapping[int, int]) -> None:
        for markers in self._markers:
            markers.update(offsets)

    def confirm(self) -> None:
        """There is nothing to compare."""


class AtLeastOnceConsumer(PageViewConsumer):
    """Begins where the group committed and commits after each batch."""

    def _synchronise(self) -> None:
        topic = self._topic = self._describe_topic()
        counting = Following(
            self._counters, self._aggregators, topic.id, topic.partitions, self._clock
        )
        counting.begin(self._committed(topic))
        self._ends = self._log.ends(topic.partitions)
        self._kafka.assign(
            [TopicPartition(topic.name, p, counting.position(p)) for p in self._assigned]
        )
        self._counting = counting
        self._overlap = Overlap(counting, self._note_counted)
        self._stale = False

    def _committed(self, topic: Topic) -> dict[int, int]:
        """Where the group committed each partition; where it never did, the log's start."""
        starts = self._log.starts(topic.partitions)
        own = [TopicPartition(topic.name, partition) for partition in self._assigned]
        return {
            tp.partition: max(tp.offset, starts[tp.partition])
            for tp in self._kafka.committed(own, timeout=10)
        }

    def _confirm_topic(self) -> None:
        self._reached_ms = self._clock()

    def _note_counted(self, batch: Batch) -> None:
        super()._note_counted(batch)
        self._commit()


def writes_of_apply() -> str:
    """apply.lua as it is now, less the protocol. Raises `ScriptChanged`."""
    script = (resources.files("processing") / "apply.lua").read_text()
    for beginning in _PROTOCOL:
        script = _without(script, beginning)
    return script


def _without(script: str, beginning: str) -> str:
    lines = script.splitlines()
    places = [n for n, line in enumerate(lines) if line.startswith(beginning)]
    if len(places) != 1:
        raise ScriptChanged(f"apply.lua has {len(places)} statements that begin {beginning!r}.")
    first = last = places[0]
    if lines[first].startswith(("for ", "if ")) and not lines[first].endswith(" end"):
        last = lines.index("end", first)
    return "\n".join([*lines[:first], *lines[last + 1 :]])
