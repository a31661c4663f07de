"""`manage.py rebuild`: count sites anew from archive and log, and swap the numbers in."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingest.models import Site
from ingest.progress_bar import progress_bar
from ingest.sites import SiteDirectory
from processing.archive import Archive
from processing.archive_replay import ArchiveReplay, RepairWaits
from processing.calendar import read_day
from processing.counters import Counters, connect
from processing.counting import MarkerMoved
from processing.duplicate_notes import DuplicateNotes
from processing.forgotten import fixed
from processing.forgotten_list import read_forgotten
from processing.log import Log, LogUnavailable
from processing.management.commands.consume import aggregators
from processing.rebuild import (
    Days,
    Difference,
    NotSwapped,
    Outdated,
    Rebuild,
    days_between,
    space_of,
)
from processing.stats import now_ms

TROUBLES = (NotSwapped, RepairWaits, LogUnavailable, MarkerMoved, redis.RedisError)
_TRIES = 5
_SHOWN_DAYS = 40

Found = TypeVar("Found")


class Command(BaseCommand):
    help = (
        "Count sites anew from archive and log while counting goes on, show what changes, and "
        "swap the new numbers in at once. Started again after a stop it goes on where it was."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--site", help="only this site; default: all")
        parser.add_argument("--from", dest="first", help="first day to replace, YYYY-MM-DD")
        parser.add_argument("--to", dest="last", help="last day to replace; both or none")
        parser.add_argument(
            "--abort", action="store_true", help="drop what a stopped rebuild has counted"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        sites = _sites(options["site"])
        rebuild = rebuild_of(sites, _days(options["first"], options["last"]))
        if options["abort"]:
            rebuild.clear()
            self.stdout.write("Dropped what was counted; the live numbers are as they were.")
            return
        try:
            differences, replaced = in_tries(
                lambda: _run(rebuild),
                TROUBLES,
                "rebuilt",
                "The live numbers are as they were; the same command goes on where it stopped.",
            )
        except KeyboardInterrupt:
            raise CommandError(
                "Stopped; the live numbers are as they were. The same command goes on from here, "
                "with --abort it drops what was counted."
            ) from None
        for line in lines_of(differences):
            self.stdout.write(line)
        self.stdout.write(
            f"{len(sites):,} sites rebuilt, {len(differences):,} days changed, "
            f"{replaced:,} keys replaced"
        )


def _run(rebuild: Rebuild) -> tuple[list[Difference], int]:
    try:
        count(rebuild)
        found = rebuild.swap()
        rebuild.clear()
    except Outdated as reason:
        rebuild.clear()
        raise CommandError(f"{reason} The live numbers are as they were.") from None
    return found


def in_tries(
    work: Callable[[], Found], troubles: tuple[type[Exception], ...], what: str, then: str
) -> Found:
    """What `work` returns, tried again after `troubles`. Raises `CommandError` saying `what` was
    not done, and what is `then`."""
    trouble: Exception | None = None
    for attempt in range(_TRIES):
        time.sleep(attempt)
        try:
            return work()
        except troubles as error:
            trouble = error
    raise CommandError(f"Not {what} in {_TRIES} tries: {trouble} {then}")


def count(rebuild: Rebuild) -> None:
    with progress_bar("{task.completed:,} of {task.total:,} events") as progress:
        task = progress.add_task("Counting", total=rebuild.events())
        for events in rebuild.count():
            progress.advance(task, events)


def _sites(public_id: str | None) -> list[Site]:
    if public_id is None:
        return list(Site.objects.all())
    found = Site.objects.filter(public_id=public_id).first()
    if found is None:
        raise CommandError(f"--site is {public_id!r}; there is no such site.")
    return [found]


def _days(first: str | None, last: str | None) -> Days | None:
    if first is None and last is None:
        return None
    if first is None or last is None:
        raise CommandError("Give both --from and --to, or none of them.")
    try:
        days = days_between(read_day(first), read_day(last))
    except ValueError as error:
        raise CommandError(str(error)) from None
    if days.first > days.last:
        raise CommandError(f"--from {first} lies after --to {last}.")
    return days


def rebuild_of(sites: list[Site], days: Days | None = None, *, whole: bool = False) -> Rebuild:
    """A rebuild wired by the settings, under what is forgotten by now."""
    client = connect(settings.REDIS_URL)
    shards, topic, forgotten = settings.REDIS_SHARDS, settings.KAFKA_TOPIC, read_forgotten()
    space = space_of(topic, sites, days, forgotten.number, whole)
    shadow = Counters(client, shards, space, fixed(forgotten))
    replay = ArchiveReplay(
        Archive.from_settings(),
        shadow,
        aggregators(SiteDirectory()),
        settings.CONSUMER_BATCH_EVENTS,
        now_ms,
        None if whole else {site.public_id for site in sites},
        # A whole rebuild writes the notes anew.
        None if whole else DuplicateNotes(client),
    )
    log = Log(settings.KAFKA_BOOTSTRAP_SERVERS, topic)
    return Rebuild(log, replay, Counters(client, shards), sites, days, whole)


def lines_of(differences: list[Difference]) -> list[str]:
    lines = [
        f"{d.site} {_day(d.day)}: {d.views[0]:,} → {d.views[1]:,} views, "
        f"{d.visitors[0]:,} → {d.visitors[1]:,} visitors"
        for d in differences[:_SHOWN_DAYS]
    ]
    hidden = len(differences) - len(lines)
    return [*lines, f"… and {hidden:,} more days"] if hidden else lines


def _day(number: int) -> str:
    return f"{number // 10_000}-{number // 100 % 100:02d}-{number % 100:02d}"
