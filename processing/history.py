"""Every event there is: from the archive, and from the log what is not archived yet."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from confluent_kafka import Message
from django.db.models import QuerySet

from ingest.pageview import PageView, UndecodableMessage, decode
from processing.archive import Archive
from processing.forgotten import Forgotten
from processing.forgotten_list import read_forgotten
from processing.log import LogUnavailable, Topic
from processing.models import Segment
from processing.parquet import is_forgotten, page_view_of

# Rows that are held as Python objects at a time.
_BATCH_ROWS = 2_000
# What decides where an event is counted.
_FIELDS = [name for name in PageView.__struct_fields__ if name not in ("v", "title")]


class Event(NamedTuple):
    """A message of the log. `page_view` is None where it can't be decoded or is forgotten; one
    from the archive has only the fields that decide where it is counted."""

    topic_id: str
    partition: int
    offset: int
    page_view: PageView | None
    is_forgotten: bool = False

    def without(self, forgotten: Forgotten) -> "Event":
        """The same, or what is left of it where it is forgotten."""
        if self.page_view is None or self.page_view not in forgotten:
            return self
        return self._replace(page_view=None, is_forgotten=True)


class Archived(NamedTuple):
    """Where in the archive an event is."""

    key: str
    row: int

    def as_json(self) -> dict[str, Any]:
        return {"object": self.key, "row": self.row}


@dataclass
class History:
    """Reads the topic's log, of which `starts` and `ends` are known, and those before it.

    Raises `LogUnavailable`, `OSError` or `pyarrow.ArrowException` while a part can't be read.
    """

    archive: Archive
    topic: Topic
    starts: dict[int, int]
    ends: dict[int, int]
    forgotten: Forgotten = field(default_factory=Forgotten)
    # (topic id, partition) → ranges [start, end) in which no message was found.
    gaps: dict[tuple[str, int], list[tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def open(cls, archive: Archive) -> "History":
        topic = archive.log.describe()
        starts, ends = archive.log.starts(topic.partitions), archive.log.ends(topic.partitions)
        return cls(archive, topic, starts, ends, read_forgotten())

    def read(self, topic_id: str, partition: int, end: int) -> Iterator[Event]:
        """Every event of the partition before the offset `end`, in order. Where there is
        none, because it expired, got lost or never was, that is noted in `gaps`."""
        at = 0
        for event in self._read(topic_id, partition, end):
            self._note_gap(topic_id, partition, at, event.offset)
            at = event.offset + 1
            yield event.without(self.forgotten)
        self._note_gap(topic_id, partition, at, end)

    def confirm(self) -> None:
        """Raises `LogUnavailable` if the topic was made again while it was read."""
        if self.archive.log.describe().id != self.topic.id:
            raise LogUnavailable(f"the topic {self.topic.name!r} was made again meanwhile")

    def _read(self, topic_id: str, partition: int, end: int) -> Iterator[Event]:
        at = 0
        for segment in written(topic_id, partition).filter(start__lt=end).order_by("start"):
            yield from self._logged(topic_id, partition, at, segment.start)
            yield from (event for event in self._archived(segment) if event.offset < end)
            at = segment.end
        yield from self._logged(topic_id, partition, at, end)

    def _logged(self, topic_id: str, partition: int, start: int, end: int) -> Iterator[Event]:
        if topic_id != self.topic.id or partition not in self.starts:
            return
        first, last = max(start, self.starts[partition]), min(end, self.ends[partition])
        for message in self.archive.log.read(partition, first, last):
            yield Event(topic_id, partition, message.offset() or 0, page_view_in(message))

    def _note_gap(self, topic_id: str, partition: int, start: int, end: int) -> None:
        if start < end:
            self.gaps.setdefault((topic_id, partition), []).append((start, end))

    def _archived(self, segment: Segment) -> Iterator[Event]:
        with self.archive.open(segment) as file:
            columns = ["offset", "raw", *_FIELDS]
            for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=columns):
                for row in batch.to_pylist():
                    yield _event(segment, row)


def written(topic_id: str, partition: int) -> QuerySet[Segment]:
    return Segment.objects.filter(
        topic_id=topic_id, partition=partition, state=Segment.State.WRITTEN
    )


def find_archived(archive: Archive, segment: Segment, offset: int) -> tuple[Event, Archived] | None:
    """One event of a written segment, by reading the one row group that holds it; None where
    the offset holds no message."""
    columns = ["offset", "raw", *_FIELDS]
    with archive.open(segment) as opened:
        file = pq.ParquetFile(opened)
        row = 0
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            if group.column(1).statistics.max >= offset:
                offsets = file.read_row_group(number, ["offset"])["offset"].to_pylist()
                if offset not in offsets:
                    return None
                at = offsets.index(offset)
                (found,) = file.read_row_group(number, columns).slice(at, 1).to_pylist()
                return _event(segment, found), Archived(segment.key, row + at)
            row += group.num_rows
    return None


def page_view_in(message: Message) -> PageView | None:
    try:
        return decode(message.value())
    except UndecodableMessage:
        return None


def _event(segment: Segment, row: dict[str, Any]) -> Event:
    page_view = None if row["id"] is None else page_view_of(row)
    return Event(segment.topic_id, segment.partition, row["offset"], page_view, is_forgotten(row))
