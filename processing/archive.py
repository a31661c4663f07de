"""Copies the log to the object store, segment by segment (SPEC.md §6)."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from processing.archive_plan import EXPIRED, OffsetRange, object_key, plan, segment_of
from processing.counting import Batch
from processing.forgotten import Forgotten
from processing.forgotten_list import read_forgotten
from processing.log import Log, LogUnavailable, NoSuchTopic
from processing.models import Segment
from processing.object_store import ArchiveUrlError, ObjectStore
from processing.parquet import is_forgotten, page_view_of, write_parquet, write_without

logger = logging.getLogger(__name__)

# What a later try may find mended.
_TROUBLES = (LogUnavailable, OSError, pa.ArrowException, ArchiveUrlError)
# A topic that is missing may be one that Kafka was not asked for at the right address, or that
# is being restored. At the eighth try, an hour after the first, it is taken for deleted.
GONE_AFTER_ATTEMPTS = 8


class Archive:
    """Plans segments of one topic, writes and reads those of any. `clock` gives the time."""

    def __init__(
        self,
        log: Log,
        store: ObjectStore,
        segment_events: int,
        clock: Callable[[], datetime] = timezone.now,
    ) -> None:
        self.log = log
        self.store = store
        self._segment_events = segment_events
        self._clock = clock

    @classmethod
    def from_settings(cls) -> "Archive":
        return cls(
            Log(settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_TOPIC),
            ObjectStore(settings.ARCHIVE_URL),
            settings.ARCHIVE_SEGMENT_EVENTS,
        )

    def plan(self) -> list[Segment]:
        """Segments for all that the log holds and no segment has; raises `LogUnavailable`."""
        return plan(self.log, self._segment_events, self._clock())

    def claim_due(self, again_after: timedelta) -> list[Segment]:
        """The segments to be handed out now. Each goes to one caller only, until
        `again_after` has passed and it is still unfinished."""
        now = self._clock()
        return [
            segment
            for segment in Segment.objects.filter(due_at__lte=now).order_by("due_at", "pk")
            if Segment.objects.filter(pk=segment.pk, due_at__lte=now).update(
                due_at=now + again_after
            )
        ]

    def write(self, segment: Segment) -> None:
        """Try to archive a segment; afterwards it says how that went.

        May be repeated, and done twice at the same time: it is the same object each time.
        """
        if segment.state not in Segment.UNFINISHED:
            return
        try:
            self._write(segment)
        except _TROUBLES as trouble:
            logger.warning("Segment %d (%s) failed: %s", segment.pk, segment, trouble)
            self._fail(segment, str(trouble))
        except Exception as error:
            # Whatever it is, the other segments must not wait for it.
            logger.exception("Segment %d (%s) failed unexpectedly.", segment.pk, segment)
            self._fail(segment, repr(error))
        segment.refresh_from_db()

    def read(self, segment: Segment) -> pa.Table:
        """The events of a written segment, in the order of the log."""
        with self.open(segment) as file:
            return pq.read_table(file)

    @contextmanager
    def open(self, segment: Segment) -> Iterator[Any]:
        """The object of a written segment, or the one that took its place meanwhile."""
        try:
            file = self.store.open(segment.key)
        except FileNotFoundError:
            known = segment.key
            segment.refresh_from_db(fields=["key"])
            if segment.key == known:
                raise
            file = self.store.open(segment.key)
        with file:
            yield file

    def batches(self, segment: Segment, events: int) -> Iterator[Batch]:
        """The events of a written segment, at most so many at a time."""
        with self.open(segment) as file:
            for rows in pq.ParquetFile(file).iter_batches(events):
                batch = Batch(segment.partition)
                for row in rows.to_pylist():
                    if is_forgotten(row):
                        batch.add_forgotten(row["offset"])
                    else:
                        page_view = page_view_of(row) if row["raw"] is None else None
                        batch.add(row["offset"], page_view)
                yield batch

    def forget(self, segment: Segment, forgotten: Forgotten) -> int:
        """Take what is forgotten out of a written segment's object; returns how many events lost
        their content. Raises `OSError`, `pyarrow.ArrowException`.

        May be killed, repeated, and done twice at the same time: first the new object is there,
        then the segment names it and what it replaced, then that is deleted.
        """
        self._drop_replaced(segment)
        if segment.state != Segment.State.WRITTEN or segment.forgotten_to >= forgotten.number:
            return 0
        mine = Segment.objects.filter(pk=segment.pk, key=segment.key)
        key = object_key(segment, forgotten.number)
        with tempfile.TemporaryDirectory(prefix="archive-") as directory:
            file = Path(directory) / "segment.parquet"
            with self.open(segment) as source:
                rows = write_without(file, source, forgotten.hides)
            if not rows:
                mine.update(forgotten_to=forgotten.number)
                return 0
            size = self.store.put(file, key)
        done = mine.update(
            key=key, bytes=size, forgotten_to=forgotten.number, replaced_key=segment.key
        )
        segment.refresh_from_db()
        if not done and segment.key != key:
            # Another process was faster and knows of another forgetting.
            self.store.delete(key)
            return self.forget(segment, forgotten)
        self._drop_replaced(segment)
        return rows

    def _drop_replaced(self, segment: Segment) -> None:
        if segment.replaced_key and segment.replaced_key != segment.key:
            self.store.delete(segment.replaced_key)
            Segment.objects.filter(pk=segment.pk, replaced_key=segment.replaced_key).update(
                replaced_key=""
            )
            segment.replaced_key = ""

    def _write(self, segment: Segment) -> None:
        try:
            self._copy(segment)
        except NoSuchTopic:
            if segment.attempts + 1 < GONE_AFTER_ATTEMPTS:
                raise
            self._lose(segment, _topic_is_gone(segment))

    def _copy(self, segment: Segment) -> None:
        log = Log(self.log.bootstrap_servers, segment.topic, self.log.timeout)
        topic = log.describe()
        if topic.id != segment.topic_id:
            self._lose(segment, _log_is_gone(segment, topic.id))
            return
        log_start = log.starts(topic.partitions)[segment.partition]
        if log_start > segment.start:
            self._lose_expired(segment, log_start)
            return
        forgotten = read_forgotten()
        if not self._claim(segment, forgotten):
            return
        with tempfile.TemporaryDirectory(prefix="archive-") as directory:
            file = Path(directory) / "segment.parquet"
            messages = log.read(segment.partition, segment.start, segment.end)
            rows = write_parquet(file, messages, forgotten)
            # What was read belongs to this log only if the topic is still the same one.
            if (topic_id := log.describe().id) != segment.topic_id:
                self._lose(segment, _log_is_gone(segment, topic_id))
                return
            self._finish(segment, rows, self.store.put(file, segment.key))

    def _claim(self, segment: Segment, forgotten: Forgotten) -> bool:
        """Let the segment name the object that is to be written: another one than before where
        something was forgotten since. False: another process did, or wrote it."""
        key = object_key(segment, forgotten.number)
        if key == segment.key:
            return True
        self._drop_replaced(segment)
        claimed = (
            _unfinished(segment)
            .filter(key=segment.key)
            .update(key=key, replaced_key=segment.key, forgotten_to=forgotten.number)
        )
        if claimed:
            segment.refresh_from_db()
        return bool(claimed)

    def _finish(self, segment: Segment, rows: int, size: int) -> None:
        # Of a segment that was given up meanwhile no key is left.
        named = Q(key=segment.key) | Q(key="")
        done = (
            _same_range(segment)
            .filter(named)
            .exclude(state=Segment.State.WRITTEN)
            .update(
                state=Segment.State.WRITTEN,
                key=segment.key,
                rows=rows,
                bytes=size,
                forgotten_to=segment.forgotten_to,
                error="",
                due_at=None,
                written_at=self._clock(),
            )
        )
        if not done and not Segment.objects.filter(pk=segment.pk, key=segment.key).exists():
            # Another process wrote it, without what was forgotten since.
            self.store.delete(segment.key)
            return
        self._drop_replaced(segment)
        if rows < segment.events:
            logger.warning(
                "Segment %d (%s): %d of its offsets hold no message.",
                segment.pk, segment, segment.events - rows,
            )  # fmt: skip

    def _fail(self, segment: Segment, error: str) -> None:
        attempts = segment.attempts + 1
        _unfinished(segment).update(
            state=Segment.State.FAILED,
            error=error,
            attempts=attempts,
            due_at=self._clock() + backoff(attempts),
        )

    def _lose(self, segment: Segment, reason: str) -> None:
        if not self._adopt(segment) and _unfinished(segment).update(**_lost(reason)):
            logger.error("Segment %d (%s) is lost: %s", segment.pk, segment, reason)

    def _lose_expired(self, segment: Segment, log_start: int) -> None:
        """The segment keeps what expired; what is left of its range becomes a new one."""
        if log_start >= segment.end:
            self._lose(segment, EXPIRED)
            return
        if self._adopt(segment):
            return
        left = OffsetRange(log_start, segment.end)
        with transaction.atomic():
            if not _unfinished(segment).update(end=log_start, **_lost(EXPIRED)):
                return
            segment_of(
                segment.topic, segment.topic_id, segment.partition, left, self._clock()
            ).save()
        segment.end = log_start
        logger.error("Segment %d (%s) is lost: %s", segment.pk, segment, EXPIRED)

    def _adopt(self, segment: Segment) -> bool:
        """Whether the object is there already: a try died before it could say so. Objects
        appear whole, and only after the log was confirmed."""
        size = self.store.size(segment.key)
        if size is None and segment.replaced_key:
            # That try knew less of what is forgotten; it is taken out afterwards.
            segment.key, segment.replaced_key, segment.forgotten_to = segment.replaced_key, "", 0
            _unfinished(segment).update(key=segment.key, replaced_key="", forgotten_to=0)
            size = self.store.size(segment.key)
        if size is None:
            return False
        with self.open(segment) as file:
            self._finish(segment, pq.read_metadata(file).num_rows, size)
        return True


def try_again(segment: Segment, now: datetime) -> bool:
    """Let a failed segment be due now, or a lost one: its topic may have been restored, or
    Kafka have been asked at another address. False: it is neither, or not any more."""
    again = Segment.objects.filter(pk=segment.pk, state__in=Segment.UNWRITTEN)
    return bool(again.update(state=Segment.State.FAILED, key=object_key(segment), due_at=now))


def backoff(attempts: int) -> timedelta:
    """How long to wait after that many failures: 30 s doubling, at most an hour."""
    return timedelta(seconds=min(3_600, 30 * 2 ** min(attempts - 1, 10)))


def _same_range(segment: Segment) -> QuerySet[Segment]:
    """Its row, unless another process has made it smaller meanwhile."""
    return Segment.objects.filter(pk=segment.pk, end=segment.end)


def _unfinished(segment: Segment) -> QuerySet[Segment]:
    return _same_range(segment).filter(state__in=Segment.UNFINISHED)


def _lost(reason: str) -> dict[str, Any]:
    return {"state": Segment.State.LOST, "error": reason, "due_at": None, "key": ""}


def _topic_is_gone(segment: Segment) -> str:
    return (
        f"The topic {segment.topic!r} was deleted before these events were archived: Kafka has "
        "not known it for an hour of tries."
    )


def _log_is_gone(segment: Segment, topic_id: str) -> str:
    return (
        f"The topic {segment.topic!r} was deleted and made again before these events were "
        f"archived: the log {segment.topic_id} is gone, {topic_id} took its place."
    )
