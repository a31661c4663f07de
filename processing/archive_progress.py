"""How far the archive is: what its segments, added up, say. The read side of the plan."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Max, Min, Sum

from processing.models import Planning, Segment


@dataclass(frozen=True)
class Group:
    """The segments of one partition of one log that are in one state."""

    topic_id: str
    partition: int
    state: str
    segments: int
    rows: int
    events: int
    # Offsets: where the first begins and the last ends.
    start: int
    end: int
    oldest: datetime


@dataclass(frozen=True)
class States:
    """All segments of a state; `oldest` was planned first."""

    state: str
    segments: int
    events: int
    oldest: datetime | None


class ArchiveProgress:
    """A topic's segments as they were at one moment. Pure but for `read`.

    `planned_at`: when the log was last asked for what is new; None: never. `cut_back`:
    partition → offsets that segments have and the log had not at that time.
    """

    def __init__(self, groups: Iterable[Group], planning: Planning | None = None) -> None:
        self.groups = list(groups)
        self.planned_at = None if planning is None else planning.at
        cut_back = {} if planning is None else planning.cut_back
        self.cut_back = {int(partition): offsets for partition, offsets in cut_back.items()}

    @classmethod
    def read(cls, topic: str) -> "ArchiveProgress":
        """Raises `django.db.DatabaseError`."""
        found = (
            Segment.objects.filter(topic=topic)
            .order_by()
            .values("topic_id", "partition", "state")
            .annotate(
                segments=Count("pk"),
                written=Sum("rows", default=0),
                offsets=Sum(F("end") - F("start")),
                first=Min("start"),
                last=Max("end"),
                oldest=Min("planned_at"),
            )
        )
        groups = [
            Group(
                topic_id=row["topic_id"],
                partition=row["partition"],
                state=row["state"],
                segments=row["segments"],
                rows=row["written"],
                events=row["offsets"],
                start=row["first"],
                end=row["last"],
                oldest=row["oldest"],
            )
            for row in found
        ]
        return cls(groups, Planning.objects.filter(topic=topic).first())

    def archived_to(self, topic_id: str, partition: int) -> int:
        """The offset up to which written segments reach without a gap from the first
        planned one on; 0 where none is planned. Segments follow each other, so that is
        where the first begins that is not written, or where the last one ends."""
        groups = self._of(topic_id, partition)
        missing = [group.start for group in groups if group.state != Segment.State.WRITTEN]
        return min(missing, default=max((group.end for group in groups), default=0))

    def rows(self, topic_id: str, partition: int | None = None) -> int:
        """Events in written objects, of one partition or of all."""
        return sum(group.rows for group in self._of(topic_id, partition))

    def earlier_rows(self, topic_id: str) -> int:
        """Events in written objects of every other log."""
        return sum(group.rows for group in self.groups if group.topic_id != topic_id)

    def states(self, topic_id: str | None = None) -> list[States]:
        """Every state there can be, of one log or of all."""
        groups = self.groups if topic_id is None else self._of(topic_id)
        return [_sum(state, [g for g in groups if g.state == state]) for state in Segment.State]

    def _of(self, topic_id: str, partition: int | None = None) -> list[Group]:
        return [
            group
            for group in self.groups
            if group.topic_id == topic_id and partition in (None, group.partition)
        ]


def _sum(state: str, groups: list[Group]) -> States:
    return States(
        state=str(state),
        segments=sum(group.segments for group in groups),
        events=sum(group.events for group in groups),
        oldest=min((group.oldest for group in groups), default=None),
    )
