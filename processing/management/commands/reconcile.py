"""`manage.py reconcile`: prove that Redis says what the archive and the log say."""

from datetime import date
from typing import Any

import pyarrow as pa
import redis
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingest.models import Site
from ingest.progress_bar import progress_bar
from processing.calendar import read_day
from processing.log import LogUnavailable
from processing.models import Forgetting
from processing.object_store import ArchiveUrlError
from processing.reconciliation import Findings, Reconciliation

_TROUBLES = (redis.RedisError, LogUnavailable, OSError, pa.ArrowException, ArchiveUrlError)


class Command(BaseCommand):
    help = (
        "Recount the archive and the log, plainly, and compare every number in Redis with it. "
        "Exits with 1 where one differs. Counting may go on meanwhile."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--site", help="only this site's numbers")
        parser.add_argument("--from", dest="first", help="first day to compare, YYYY-MM-DD")
        parser.add_argument("--to", dest="last", help="last day to compare")

    def handle(self, *args: Any, **options: Any) -> None:
        first, last = _day(options["first"], date.min), _day(options["last"], date.max)
        site = options["site"]
        if first > last:
            raise CommandError(f"--from {first} lies after --to {last}.")
        if site is not None and not Site.objects.filter(public_id=site).exists():
            raise CommandError(f"No site {site!r}. Sites are in the admin.")
        try:
            with progress_bar("{task.completed:,} events") as progress:
                task = progress.add_task("Recounting", total=None)
                findings = Reconciliation.from_settings().run(
                    site, first, last,
                    lambda done, total: progress.update(task, completed=done, total=total),
                )  # fmt: skip
        except _TROUBLES as trouble:
            raise CommandError(f"Nothing was proven: {trouble}") from None
        except KeyboardInterrupt:
            raise CommandError("Stopped. Nothing was proven.") from None
        self._tell(findings)

    def _tell(self, findings: Findings) -> None:
        for line in [*findings.unreadable, *findings.differences]:
            self.stdout.write(str(line))
        differences = len(findings.differences)
        for forgetting in Forgetting.objects.filter(done_at=None) if differences else ():
            self.stdout.write(
                f"{forgetting} is being forgotten, and may still be in Redis: wait for "
                "`manage.py forget`, or finish it by `manage.py forget` without options."
            )
        self.stdout.write(
            f"{findings.events:,} events recounted, {findings.compared:,} numbers compared, "
            f"{differences:,} differences; {findings.waiting:,} events wait to be counted."
        )
        if differences:
            raise CommandError(
                f"Redis and the recount differ in {differences:,} numbers; see above."
            )


def _day(text: str | None, default: date) -> date:
    try:
        return default if text is None else read_day(text)
    except ValueError as error:
        raise CommandError(f"{error}.") from None
