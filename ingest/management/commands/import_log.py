"""`manage.py import_log`: send the page views of an access log through the public API."""

import gzip
import io
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingest.access_log import MalformedLine, Request, event_ids, read_line, skip_reason
from ingest.progress_bar import progress_bar
from ingest.track_client import TrackClient, TrackError
from ingest.track_request import MAX_BATCH_EVENTS

_SHOWN_PROBLEMS = 20


class Command(BaseCommand):
    help = (
        "Send the page views of an Apache or nginx access log (combined or common, .gz, or - for "
        "standard input). Running it again counts nothing twice."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the log; - reads standard input")
        parser.add_argument("--site", required=True, help="the site id to count it for")
        parser.add_argument("--url", default=settings.PUBLIC_URL, help="where the tracker is")
        parser.add_argument("--batch", type=int, default=MAX_BATCH_EVENTS, help="events a request")

    def handle(self, *args: Any, **options: Any) -> None:
        batch = options["batch"]
        if not 1 <= batch <= MAX_BATCH_EVENTS:
            raise CommandError(f"--batch is {batch}; it must be from 1 to {MAX_BATCH_EVENTS}.")
        try:
            with closing(TrackClient(options["url"])) as client:
                report = Import(client, options["site"], batch).run(options["file"])
        except (TrackError, OSError) as error:
            raise CommandError(f"{error} Running the command again is safe.") from None
        except KeyboardInterrupt:
            raise CommandError("Stopped. Running the command again is safe.") from None
        for line in report.lines():
            self.stdout.write(line)
        if report.refused:
            raise CommandError(f"{report.refused} page views were refused; see above.")


class Report:
    """What was done, for the person who asked for it."""

    def __init__(self) -> None:
        self.read = 0
        self.sent = 0
        self.refused = 0
        self.skipped: Counter[str] = Counter()
        self.problems: list[str] = []
        self.malformed = 0

    def problem(self, line: int, text: str) -> None:
        if len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append(f"line {line:,}: {text}")

    def lines(self) -> Iterator[str]:
        yield from self.problems
        hidden = self.malformed + self.refused - len(self.problems)
        if hidden:
            yield f"… and {hidden:,} more"
        skipped = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.most_common())
        yield (
            f"{self.read:,} lines: {self.sent:,} page views accepted, {self.refused:,} refused, "
            f"{self.malformed:,} malformed, {self.skipped.total():,} skipped"
            + (f" ({skipped})" if skipped else "")
        )


class Import:
    """Reads one log and sends its page views in batches of `size`."""

    def __init__(self, client: TrackClient, site: str, size: int) -> None:
        self._client = client
        self._site = site
        self._size = size
        self._report = Report()
        self._waiting: list[tuple[int, dict[str, Any]]] = []

    def run(self, file: str) -> Report:
        with (
            _opened(file) as (lines, raw, size),
            progress_bar("{task.percentage:>3.0f}%", "{task.fields[sent]:,} sent") as progress,
        ):
            task = progress.add_task("Importing", total=size, sent=0)
            stripped = (line.rstrip("\r\n") for line in lines)
            for number, (event_id, line) in enumerate(event_ids(stripped, self._site), 1):
                self._read(number, event_id, line)
                if len(self._waiting) >= self._size:
                    self._send()
                if number % 500 == 0:
                    progress.update(task, completed=_position(raw), sent=self._report.sent)
            self._send()
            progress.update(task, completed=size, sent=self._report.sent)
        return self._report

    def _read(self, number: int, event_id: str, line: str) -> None:
        self._report.read += 1
        try:
            request = read_line(line)
        except MalformedLine as error:
            self._report.malformed += 1
            self._report.problem(number, f"malformed: {error}")
            return
        if reason := skip_reason(request):
            self._report.skipped[reason] += 1
            return
        self._waiting.append((number, self._event(event_id, request)))

    def _event(self, event_id: str, request: Request) -> dict[str, Any]:
        event: dict[str, Any] = {
            "site": self._site,
            "event_id": event_id,
            "user_id": request.address,
            "page_url": request.target,
            "timestamp": request.ts,
        }
        if request.referrer:
            event["referrer"] = request.referrer
        return event

    def _send(self) -> None:
        if not self._waiting:
            return
        results = self._client.track_batch([event for _, event in self._waiting])["results"]
        for (number, _), result in zip(self._waiting, results, strict=True):
            if result["status"] == "accepted":
                self._report.sent += 1
            else:
                self._report.refused += 1
                error = result["error"]
                self._report.problem(
                    number, f"refused: {error['field']} {error['value']!r}: {error['reason']}"
                )
        self._waiting = []


@contextmanager
def _opened(file: str) -> Iterator[tuple[IO[str], Any, int | None]]:
    """The lines, the file whose position tells the progress, and its size in bytes."""
    if file == "-":
        yield sys.stdin, None, None
        return
    path = Path(file)
    with path.open("rb") as raw:
        opened: Any = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        text = io.TextIOWrapper(opened, encoding="utf-8", errors="replace", newline="\n")
        yield text, raw, path.stat().st_size


def _position(raw: Any) -> int:
    return 0 if raw is None else int(raw.tell())
