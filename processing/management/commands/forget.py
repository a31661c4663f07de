"""`manage.py forget`: delete a visitor, or all of a site, everywhere."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ingest.models import Site
from ingest.progress_bar import progress_bar
from ingest.visitor import VisitorHash
from processing import forget
from processing.archive import Archive
from processing.counters import Counters, connect
from processing.forgotten import EVERYONE, Forgotten
from processing.forgotten_list import read_forgotten
from processing.management.commands.rebuild import (
    TROUBLES,
    count,
    in_tries,
    lines_of,
    rebuild_of,
)
from processing.models import Forgetting
from processing.object_store import ArchiveUrlError
from processing.rebuild import Difference, Outdated
from processing.stats import now_ms

_ARCHIVE_TROUBLES = (OSError, pa.ArrowException, ArchiveUrlError)


class Command(BaseCommand):
    help = (
        "Delete what is known of visitors, or all events of a site, that arrived until now: in "
        "Redis, in the archive, and out of every number. Counting goes on meanwhile. Started "
        "again after a stop, with the same options or without any, it finishes what was begun."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--site", help="the site id")
        parser.add_argument(
            "--user-id", action="append", default=[], help="a user as the site names it; repeatable"
        )
        parser.add_argument(
            "--visitor", action="append", default=[], help="a visitor's hash; repeatable"
        )
        parser.add_argument(
            "--all", dest="everyone", action="store_true", help="every event of the site"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument(
            "--accept-loss",
            action="store_true",
            help="go on where events that were counted can't be read any more, and let them out "
            "of all numbers",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = _wanted(options)
        if wanted and not options["yes"]:
            _ask(options["site"], wanted)
        for visitor in wanted:
            forget.begin(options["site"], visitor, now_ms())
        begun = list(Forgetting.objects.filter(done_at=None))
        if not begun:
            self.stdout.write("Nothing is to be forgotten.")
            return
        try:
            differences = in_tries(
                lambda: self._forget(options["accept_loss"]),
                (*TROUBLES, *_ARCHIVE_TROUBLES),
                "finished",
                "`manage.py forget` without options goes on where it stopped.",
            )
        except KeyboardInterrupt:
            raise CommandError(
                "Stopped. `manage.py forget` without options goes on from here."
            ) from None
        for line in lines_of(differences):
            self.stdout.write(line)
        for one in begun:
            self.stdout.write(f"Forgotten: {one}.")
        self.stdout.write(
            "Kafka still holds what it has of it until its retention is over "
            f"(KAFKA_RETENTION_HOURS, {settings.KAFKA_RETENTION_HOURS:,} hours for a topic made "
            "now); nothing of it is counted or archived any more. Backups are yours to delete."
        )

    def _forget(self, accept_loss: bool) -> list[Difference]:
        """The days that changed."""
        forgotten = read_forgotten()
        self._take_out(forgotten)
        differences = self._count_anew(accept_loss)
        forget.finish(forgotten.number, timezone.now())
        return differences

    def _take_out(self, forgotten: Forgotten) -> None:
        client = connect(settings.REDIS_URL)
        forget.tell_store(Counters(client, settings.REDIS_SHARDS), forgotten.number)
        begun = Forgetting.objects.filter(done_at=None)
        forget.take_out_of_now(client, settings.REDIS_SHARDS, begun)
        with progress_bar("{task.completed:,} of {task.total:,} events") as progress:
            task = progress.add_task("Archive", total=forget.archived_events(forgotten))
            events = objects = 0
            for segment in forget.take_out_of_archive(Archive.from_settings(), forgotten):
                events += segment.forgotten
                objects += segment.forgotten > 0
                progress.advance(task, segment.events)
        self.stdout.write(f"{events:,} archived events emptied, in {objects:,} objects.")

    def _count_anew(self, accept_loss: bool) -> list[Difference]:
        """The days that change."""
        rebuild = rebuild_of(list(Site.objects.all()), whole=True)
        try:
            count(rebuild)
            lost = rebuild.lost()
            if lost and not accept_loss:
                raise CommandError(
                    f"{lost:,} events that were counted are neither in the archive nor in Kafka. "
                    "Counting without who is forgotten would take them out of the numbers of every "
                    "site: bring the archive back, or say --accept-loss. Until then the numbers in "
                    "Redis are as they were."
                )
            differences, _ = rebuild.swap()
        except Outdated:
            rebuild.clear()
            raise
        # What stopped rebuilds counted may have it, and can't be swapped in any more.
        rebuild.clear_all()
        return differences


def _wanted(options: dict[str, Any]) -> list[str]:
    """The visitors to be forgotten; none: only what was begun before."""
    site, users, visitors = options["site"], options["user_id"], options["visitor"]
    named = bool(users) + bool(visitors) + options["everyone"]
    if not site and not named:
        return []
    if not site or named != 1:
        raise CommandError("Give --site and one of --user-id, --visitor and --all.")
    if options["everyone"]:
        return [EVERYONE]
    if not Site.objects.filter(public_id=site).exists():
        raise CommandError(f"--site is {site!r}; there is no such site.")
    for visitor in visitors:
        if len(visitor) != 16 or set(visitor) - set("0123456789abcdef"):
            raise CommandError(f"--visitor is {visitor!r}; a hash has 16 hexadecimal digits.")
    return [*visitors, *(_hash_of(site, user) for user in users)]


def _hash_of(site: str, user_id: str) -> str:
    """The hash of a user does not depend on any day's salt."""
    return VisitorHash(settings.SECRET_KEY, lambda _: b"").of_user(site, user_id)


def _ask(site: str, visitors: Sequence[str]) -> None:
    whose = "everyone" if visitors == [EVERYONE] else ", ".join(visitors)
    known = Site.objects.filter(public_id=site).exists()
    note = "" if known else " (which is no tracked site)"
    answer = input(f"All events of {whose} at {site}{note} will be deleted for ever. Go on? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was forgotten.")
