"""Which ranges of the log become segments."""

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Max

from processing.log import Log, LogUnavailable, Topic
from processing.models import Planning, Segment

logger = logging.getLogger(__name__)

EXPIRED = "These events expired in Kafka before they were archived."


@dataclass(frozen=True)
class OffsetRange:
    """Offsets `start` … `end` - 1. `expired`: Kafka no longer holds them."""

    start: int
    end: int
    expired: bool = False


def cut(planned_to: int | None, log_start: int, log_end: int, most: int) -> list[OffsetRange]:
    """What follows `planned_to`, the end of a partition's last segment, up to `log_end`, in
    ranges of at most `most` offsets. Where no segment is yet (None), from `log_start`."""
    start = log_start if planned_to is None else planned_to
    expired = [OffsetRange(start, log_start, expired=True)] if start < log_start else []
    return expired + [
        OffsetRange(at, min(at + most, log_end))
        for at in range(max(start, log_start), log_end, most)
    ]


def plan(log: Log, most: int, now: datetime) -> list[Segment]:
    """Write down as segments what the log holds and no segment has yet; returns the new ones.

    Safe to do in several processes at the same time. Raises `LogUnavailable`.
    """
    topic = log.describe()
    # Before the ends are asked for: a planner that is faster is no log that was cut back.
    planned = [_planned_to(topic, partition) for partition in range(topic.partitions)]
    starts, ends = log.starts(topic.partitions), log.ends(topic.partitions)
    if log.describe().id != topic.id:
        raise LogUnavailable(f"the topic {topic.name!r} was made again a moment ago")
    segments = [
        segment
        for partition, planned_to in enumerate(planned)
        for segment in _plan_partition(
            topic, partition, planned_to, (starts[partition], ends[partition]), most, now
        )
    ]
    cut_back = {p: end - ends[p] for p, end in enumerate(planned) if end and end > ends[p]}
    for partition, offsets in cut_back.items():
        _tell_cut_back(topic, partition, offsets)
    Planning.objects.update_or_create(topic=topic.name, defaults={"at": now, "cut_back": cut_back})
    return segments


def segment_of(
    topic: str, topic_id: str, partition: int, offsets: OffsetRange, now: datetime
) -> Segment:
    """A new segment, not saved yet, that is due at once; a lost one where it expired."""
    segment = Segment(
        topic=topic,
        topic_id=topic_id,
        partition=partition,
        start=offsets.start,
        end=offsets.end,
        planned_at=now,
    )
    if offsets.expired:
        segment.state, segment.error = Segment.State.LOST, EXPIRED
    else:
        segment.key, segment.due_at = object_key(segment), now
    return segment


def object_key(segment: Segment, forgotten: int = 0) -> str:
    """SPEC.md §6. The topic id is in it because offsets begin anew in a topic made again, and the
    number of the last forgetting it respects, so that the same name always is the same bytes."""
    version = f".f{forgotten}" if forgotten else ""
    return (
        f"pageviews/date={segment.planned_at:%Y-%m-%d}/log={segment.topic_id}/"
        f"p={segment.partition:02d}/{segment.start:020d}-{segment.end:020d}{version}.parquet"
    )


def _plan_partition(
    topic: Topic,
    partition: int,
    planned_to: int | None,
    log_range: tuple[int, int],
    most: int,
    now: datetime,
) -> list[Segment]:
    while True:
        ranges = cut(planned_to, *log_range, most)
        segments = [segment_of(topic.name, topic.id, partition, r, now) for r in ranges]
        try:
            with transaction.atomic():
                Segment.objects.bulk_create(segments)
        except IntegrityError:
            # Every new segment begins where one ends, so another planner was here first:
            # what it left is planned after its segments.
            before, planned_to = planned_to, _planned_to(topic, partition)
            if planned_to == before:
                raise
        else:
            _tell_lost(topic, segments)
            return segments


def _planned_to(topic: Topic, partition: int) -> int | None:
    segments = Segment.objects.filter(topic_id=topic.id, partition=partition)
    end: int | None = segments.aggregate(end=Max("end"))["end"]
    return end


def _tell_lost(topic: Topic, segments: list[Segment]) -> None:
    for segment in segments:
        if segment.state == Segment.State.LOST:
            logger.error("Topic %s, %s: %s", topic.name, segment, EXPIRED)


def _tell_cut_back(topic: Topic, partition: int, offsets: int) -> None:
    logger.error(
        "Partition %d of %s ends %d offsets before what is planned to be archived. A new leader "
        "may catch up; a log that was cut hides new events from the archive until it is longer "
        "again.",
        partition, topic.name, offsets,
    )  # fmt: skip
