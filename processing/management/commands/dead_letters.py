"""`manage.py dead_letters`: what could not be read, and another try with it."""

import re
from argparse import SUPPRESS
from collections import deque
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from processing.dead_letter_replay import Letter, Mailbox, NotReplayed, Replayer, is_replayed
from processing.duplicates import DuplicateWindows
from processing.log import LogUnavailable

_SHOWN_BYTES = 60
_PLACE = re.compile(r"(?:(\d{1,9})-)?(\d{1,18})", re.ASCII)


class Command(BaseCommand):
    help = (
        "Messages that could not be read: list them, show one whole, or put those that this "
        "version can read back into the log. Replaying again counts nothing twice."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="list | show | replay")
        listing = actions.add_parser("list", help="the newest last (what is done without a word)")
        parser.add_argument("--limit", type=int, default=20, help="so many of the newest")
        listing.add_argument("--limit", type=int, default=SUPPRESS, help="so many of the newest")
        show = actions.add_parser("show", help="one of them, whole")
        show.add_argument("letters", nargs=1, metavar="offset", help="offset or partition-offset")
        replay = actions.add_parser("replay", help="put them back into the log")
        replay.add_argument("letters", nargs="*", metavar="offset")
        replay.add_argument(
            "--all", dest="every", action="store_true", help="all that were not replayed yet"
        )
        replay.add_argument(
            "--force", action="store_true", help="also what this version can't read either"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["action"] == "show":
                self._show(options["letters"][0])
            elif options["action"] == "replay":
                self._replay(options["letters"], options["every"], options["force"])
            else:
                self._list(options["limit"])
        except LogUnavailable as trouble:
            raise CommandError(f"{trouble}. Running the command again is safe.") from None
        except KeyboardInterrupt:
            raise CommandError("Stopped. Running the command again is safe.") from None

    def _list(self, limit: int) -> None:
        if limit < 1:
            raise CommandError(f"--limit is {limit}; it must be at least 1.")
        newest = deque(Mailbox.from_settings().letters(limit), maxlen=limit)
        for letter in newest:
            self.stdout.write(_line(letter))
        if not newest:
            self.stdout.write("No dead letters.")

    def _show(self, place: str) -> None:
        (letter,) = _letters([place])
        for name, value in letter.headers.items():
            self.stdout.write(f"{name}: {value}")
        self.stdout.write(f"replayed: {'yes' if is_replayed(letter.source) else 'no'}")
        self.stdout.write(f"\n{letter.value.decode(errors='backslashreplace')}")

    def _replay(self, letters: list[str], every: bool, force: bool) -> None:
        if bool(letters) == every:
            raise CommandError("Name the letters by their offsets, or write --all.")
        chosen = Mailbox.from_settings().letters() if every else _letters(letters)
        replayer = _replayer(force)
        sent = before = stayed = 0
        for letter in chosen:
            try:
                if replayer.replay(letter, timezone.now()):
                    sent += 1
                else:
                    before += 1
            except NotReplayed as reason:
                stayed += 1
                self.stdout.write(f"{letter} stays: {reason}.")
        self.stdout.write(
            f"{sent:,} replayed, {before:,} had been replayed before, {stayed:,} stay."
        )
        if stayed:
            raise CommandError(f"{stayed:,} letters were not replayed; see above.")


def _letters(places: list[str]) -> Iterator[Letter]:
    mailbox = Mailbox.from_settings()
    for place in places:
        parts = _PLACE.fullmatch(place)
        if parts is None:
            raise CommandError(f"{place!r} is no place; write an offset as in the list, such as 7.")
        letter = mailbox.letter(int(parts[1] or 0), int(parts[2]))
        if letter is None:
            raise CommandError(f"There is no dead letter at {place}. It may have expired.")
        yield letter


def _line(letter: Letter) -> str:
    topic, source = letter.headers.get("topic", "?"), letter.source
    replayed = "  (replayed)" if is_replayed(source) else ""
    return (
        f"{letter}  {letter.headers.get('reason', '?')}  "
        f"from {topic} {source.partition}-{source.offset}  "
        f"{len(letter.value):,} bytes: {letter.value[:_SHOWN_BYTES]!r}{replayed}"
    )


def _replayer(force: bool) -> Replayer:
    windows = DuplicateWindows(
        recent=settings.DUPLICATE_WINDOW_MINUTES * 60_000,
        backfill=settings.BACKFILL_DUPLICATE_WINDOW_DAYS * 86_400_000,
    )
    return Replayer(settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_TOPIC, windows, force)
