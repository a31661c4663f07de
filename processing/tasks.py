"""Celery tasks: thin calls into the archive. No event travels through Celery."""

import logging
from datetime import timedelta

from celery import shared_task

from processing.archive import Archive
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
