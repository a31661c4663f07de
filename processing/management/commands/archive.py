"""`manage.py archive`: write everything that is not archived yet, now, in this process."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import F, Sum

from ingest.progress_bar import progress_bar
from processing.archive import Archive
from processing.log import LogUnavailable
from processing.models import Segment

_SHOWN_PROBLEMS = 20


class Command(BaseCommand):
    help = "Archive every event that Kafka holds and the archive does not, without Celery."

    def handle(self, *args: Any, **options: Any) -> None:
        archive = Archive.from_settings()
        report = Report()
        try:
            for segment in archive.plan():
                report.add_lost(segment)
            with progress_bar("{task.completed:,} of {task.total:,} events") as progress:
                task = progress.add_task("Archiving", total=_unfinished_events())
                for segment in _unfinished():
                    events = segment.events
                    archive.write(segment)
                    report.add(segment)
                    progress.advance(task, events)
        except LogUnavailable as trouble:
            raise CommandError(f"Nothing was archived: {trouble}. Is Kafka running?") from None
        except KeyboardInterrupt:
            raise CommandError("Stopped. Running the command again is safe.") from None
        self.stdout.write(
            f"{report.segments:,} segments, {report.events:,} events written to {archive.store}"
        )
        if report.problems:
            raise CommandError(report.problem_text())


class Report:
    """What was done, for the person who asked for it."""

    def __init__(self) -> None:
        self.segments = 0
        self.events = 0
        self.problems: list[str] = []

    def add(self, segment: Segment) -> None:
        """Note a segment that was tried."""
        if segment.state == Segment.State.WRITTEN:
            self.segments += 1
            self.events += segment.rows or 0
        else:
            self.problems.append(f"{segment} ({segment.state}): {segment.error}")

    def add_lost(self, segment: Segment) -> None:
        """Note a segment that was planned, if that is all that could be done."""
        if segment.state == Segment.State.LOST:
            self.add(segment)

    def problem_text(self) -> str:
        shown = self.problems[:_SHOWN_PROBLEMS]
        hidden = len(self.problems) - len(shown)
        lines = [f"{len(self.problems):,} segments could not be archived:", *shown]
        return "\n".join([*lines, f"… and {hidden:,} more"] if hidden else lines)


def _unfinished() -> Iterator[Segment]:
    """Each unfinished segment once, with those that come up while others are written."""
    last = 0
    segments = Segment.objects.filter(state__in=Segment.UNFINISHED).order_by("pk")
    while segment := segments.filter(pk__gt=last).first():
        last = segment.pk
        yield segment


def _unfinished_events() -> int:
    unfinished = Segment.objects.filter(state__in=Segment.UNFINISHED)
    return int(unfinished.aggregate(events=Sum(F("end") - F("start")))["events"] or 0)
