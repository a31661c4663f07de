"""Celery tasks: thin calls into the archive. No event travels through Celery."""

import logging
from datetime import timedelta

import pyarrow as pa
from celery import shared_task
from django.utils import timezone

from processing.archive import Archive
from processing.forget import retire, take_out_of_archive
from processing.forgotten_list import read_forgotten
from processing.log import LogUnavailable
from processing.models import Segment

logger = logging.getLogger(__name__)

# A segment that was handed out and is still unfinished after this goes to another worker.
AGAIN_AFTER_S = 600.0


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def archive(again_after_s: float = AGAIN_AFTER_S) -> None:
    """Plan what is new in the log and hand out every segment that is due."""
    archiver = Archive.from_settings()
    try:
        planned = len(archiver.plan())
    except LogUnavailable as trouble:
        logger.warning("Nothing new is planned until Kafka answers: %s", trouble)
        planned = 0
    due = archiver.claim_due(timedelta(seconds=again_after_s))
    for segment in due:
        # A message that waits until the segment is handed out again has been replaced.
        write_segment.apply_async([segment.pk], expires=again_after_s)
    logger.info("Archive: %d segments planned, %d handed out.", planned, len(due))
    try:
        _look_after_forgotten(archiver)
    except (LogUnavailable, OSError, pa.ArrowException) as trouble:
        logger.warning("What is forgotten is looked after next time: %s", trouble)


def _look_after_forgotten(archiver: Archive) -> None:
    """What was written while something was forgotten may still have it."""
    forgotten = read_forgotten()
    if not forgotten.number:
        return
    for _ in take_out_of_archive(archiver, forgotten):
        pass
    retire(archiver.log, timezone.now())


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def write_segment(pk: int) -> None:
    """Archive one segment, unless that has been done."""
    segment = Segment.objects.get(pk=pk)
    if segment.state not in Segment.UNFINISHED:
        return
    archiver = Archive.from_settings()
    archiver.write(segment)
    if segment.state == Segment.State.WRITTEN:
        logger.info(
            "Segment %d (%s): %d events, %d bytes written to %s/%s",
            pk, segment, segment.rows, segment.bytes, archiver.store, segment.key,
        )  # fmt: skip
