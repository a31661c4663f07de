"""How far the archive is: what its segments, added up, say. The read side of the plan."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, DateTimeField, F, Max, Min, Q, QuerySet, Sum, Value

from processing.models import Planning, Segment

# Kinds of `Group` beside the states other than written.
_ALL, _HOLES = "all", "holes"
_NO_TIME = Value(None, output_field=DateTimeField())


@dataclass(frozen=True)
class Group:
    """Segments of one partition of one log: all of them, those in one state other than
    written, or, of the written ones, the offsets that held no message (as `events`)."""

    topic_id: str
    partition: int
    kind: str
    segments: int
    events: int
    # The offset where the first of them begins.
    start: int
    oldest: datetime | None


@dataclass(frozen=True)
class States:
    """All segments of a state; `oldest` was planned first (None of the written ones)."""

    state: str
    segments: int
    events: int
    oldest: datetime | None


class ArchiveProgress:
    """A topic's segments as they were at one moment. Pure but for `read`.

    Segments of a partition follow each other without gap or overlap. So what is written is
    what remains of all without the others, and need not be added up: of 600,000 segments in
    SQLite that took 0.95 s of CPU, this takes 0.12.

    `planned_at`: when the log was last asked for what is new; None: never. `cut_back`:
    partition → offsets that segments have and the log had not at that time.
    """

    def __init__(self, groups: Iterable[Group] = (), planning: Planning | None = None) -> None:
        self.groups = list(groups)
        self.planned_at = None if planning is None else planning.at
        cut_back = {} if planning is None else planning.cut_back
        self.cut_back = {int(partition): offsets for partition, offsets in cut_back.items()}

    @classmethod
    def read(cls, topic: str) -> "ArchiveProgress":
        """Raises `django.db.DatabaseError`."""
        groups = [Group(*row) for row in _grouped(Segment.objects.filter(topic=topic).order_by())]
        return cls(groups, Planning.objects.filter(topic=topic).first())

    def archived_to(self, topic_id: str, partition: int) -> int:
        """The offset up to which written segments reach without a gap from the first
        planned one on; 0 where none is planned: where the first begins that is not written,
        or where the last one ends."""
        groups = self._of(topic_id, partition)
        missing = [group.start for group in groups if group.kind in Segment.State]
        ends = (group.start + group.events for group in groups if group.kind == _ALL)
        return min(missing, default=max(ends, default=0))

    def rows(self, topic_id: str, partition: int | None = None) -> int:
        """Events in written objects, of one partition or of all."""
        return _rows(self._of(topic_id, partition))

    def earlier_rows(self, topic_id: str) -> int:
        """Events in written objects of every other log."""
        return _rows([group for group in self.groups if group.topic_id != topic_id])

    def states(self, topic_id: str | None = None) -> list[States]:
        """Every state there can be, of one log or of all."""
        groups = self.groups if topic_id is None else self._of(topic_id)
        return [
            _written(groups) if state == Segment.State.WRITTEN else _sum(state, groups)
            for state in Segment.State
        ]

    def _of(self, topic_id: str, partition: int | None = None) -> list[Group]:
        return [
            group
            for group in self.groups
            if group.topic_id == topic_id and partition in (None, group.partition)
        ]


def _grouped(segments: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """The fields of every `Group`, in one statement, so that they are of one moment. Each part
    of it has an index: of the written segments only ends and holes are read."""
    offsets = F("end") - F("start")
    unwritten = segments.filter(~Q(state=Segment.State.WRITTEN)).annotate(kind=F("state"))
    with_holes = segments.filter(rows__lt=offsets, state=Segment.State.WRITTEN)
    return _fields(unwritten, Count("*"), Sum(offsets), Min("planned_at")).union(
        _fields(_kind(segments, _ALL), Count("*"), Max("end") - Min("start"), _NO_TIME),
        _fields(_kind(with_holes, _HOLES), Value(0), Sum(offsets - F("rows")), _NO_TIME),
        all=True,
    )


def _kind(segments: QuerySet[Any, Any], kind: str) -> QuerySet[Any, Any]:
    named: QuerySet[Any, Any] = segments.annotate(kind=Value(kind))
    return named


def _fields(
    segments: QuerySet[Any, Any], number: Any, offsets: Any, oldest: Any
) -> QuerySet[Any, Any]:
    fields: QuerySet[Any, Any] = segments.values_list("topic_id", "partition", "kind").annotate(
        number=number, offsets=offsets, first=Min("start"), oldest=oldest
    )
    return fields


def _written(groups: Sequence[Group]) -> States:
    everything, others = _sum(_ALL, groups), [g for g in groups if g.kind in Segment.State]
    return States(
        state=str(Segment.State.WRITTEN),
        segments=everything.segments - sum(group.segments for group in others),
        events=everything.events - sum(group.events for group in others),
        oldest=None,
    )


def _rows(groups: Sequence[Group]) -> int:
    return _written(groups).events - _sum(_HOLES, groups).events


def _sum(kind: str, groups: Sequence[Group]) -> States:
    found = [group for group in groups if group.kind == kind]
    return States(
        state=str(kind),
        segments=sum(group.segments for group in found),
        events=sum(group.events for group in found),
        oldest=min((group.oldest for group in found if group.oldest), default=None),
    )
