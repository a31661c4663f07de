"""`manage.py import_log`: send the page views of an access log, or of another tracker's export,
through the public API."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingest.import_formats import FORMATS, Found, UnknownFormat, format_of, found_in
from ingest.log_lines import followed, open_log, standard_input
from ingest.progress_bar import progress_bar
from ingest.track_client import TrackClient, TrackError
from ingest.track_request import MAX_BATCH_EVENTS

_SHOWN_PROBLEMS = 20


class Command(BaseCommand):
    help = (
        "Send the page views of an access log (Apache, nginx, Caddy, CloudFront), or of an export "
        "of GoatCounter, Plausible or Umami; .gz too. Running it again counts nothing twice."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the log; - reads standard input")
        parser.add_argument("--site", required=True, help="the site id to count it for")
        parser.add_argument(
            "--format", choices=FORMATS, help="default: told by the file's first line"
        )
        parser.add_argument(
            "--follow",
            action="store_true",
            help="go on with what is written into the log, rotated or not, until Ctrl-C",
        )
        parser.add_argument("--url", default=settings.PUBLIC_URL, help="where the tracker is")
        parser.add_argument("--batch", type=int, default=MAX_BATCH_EVENTS, help="events a request")

    def handle(self, *args: Any, **options: Any) -> None:
        batch = options["batch"]
        if not 1 <= batch <= MAX_BATCH_EVENTS:
            raise CommandError(f"--batch is {batch}; it must be from 1 to {MAX_BATCH_EVENTS}.")
        try:
            with closing(TrackClient(options["url"])) as client:
                job = Import(client, options["site"], batch, options["format"])
                report = (
                    job.follow(options["file"]) if options["follow"] else job.run(options["file"])
                )
        except UnknownFormat as error:
            raise CommandError(f"{options['file']} {error}") from None
        except (TrackError, OSError, EOFError) as error:
            raise CommandError(f"{error} Running the command again is safe.") from None
        except KeyboardInterrupt:
            raise CommandError("Stopped. Running the command again is safe.") from None
        for line in report.lines():
            self.stdout.write(line)
        if report.refused:
            raise CommandError(f"{report.refused} page views were refused; see above.")


class Report:
    """What was done, for the person who asked for it."""

    def __init__(self, file: str = "-") -> None:
        self._file = file
        self.read = 0
        self.sent = 0
        self.refused = 0
        self.skipped: Counter[str] = Counter()
        self.problems: list[str] = []
        self.malformed = 0

    def problem(self, line: int, text: str) -> None:
        if len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append(f"{self._file} line {line:,}: {text}")

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
    """Reads one file and sends its page views in batches of `size`."""

    def __init__(
        self, client: TrackClient, site: str, size: int, format_: str | None = None
    ) -> None:
        self._client = client
        self._site = site
        self._size = size
        self._format = format_
        self._report = Report()
        self._waiting: list[tuple[int, dict[str, Any]]] = []

    def run(self, file: str) -> Report:
        """To the end of the file, or of standard input."""
        self._report = Report(file)
        if file == "-":
            self._take(standard_input(), None, lambda: 0)
            return self._report
        with open_log(Path(file)) as (text, raw):
            lines = (line.rstrip("\r\n") for line in text)
            self._take(lines, Path(file).stat().st_size, raw.tell)
        return self._report

    def follow(self, file: str) -> Report:
        """Until Ctrl-C; standard input to its end."""
        self._report = Report(file)
        lines = standard_input() if file == "-" else followed(Path(file))
        try:
            self._take(lines, None, lambda: 0)
        except KeyboardInterrupt:
            self._send()
        return self._report

    def _take(
        self, lines: Iterator[str | None], size: int | None, position: Callable[[], int]
    ) -> None:
        with progress_bar("{task.percentage:>3.0f}%", "{task.fields[sent]:,} sent") as progress:
            task = progress.add_task("Importing", total=size, sent=0)
            for found in self._found(lines):
                if found is None:
                    self._send()
                else:
                    self._add(found)
                if self._report.read % 500 == 0:
                    progress.update(task, completed=position(), sent=self._report.sent)
            self._send()
            progress.update(task, completed=size, sent=self._report.sent)

    def _found(self, lines: Iterator[str | None]) -> Iterator[Found | None]:
        """What is in the lines, by the format of the first."""
        first = next((line for line in lines if line is not None), None)
        if first is not None:
            format_ = self._format or format_of(first)
            yield from found_in(chain([first], lines), self._site, format_)

    def _add(self, found: Found) -> None:
        self._report.read += 1
        if found.malformed:
            self._report.malformed += 1
            self._report.problem(found.line, f"malformed: {found.malformed}")
        if found.skipped:
            self._report.skipped[found.skipped] += 1
        for event in found.events:
            self._waiting.append((found.line, {"site": self._site, **event}))
            if len(self._waiting) >= self._size:
                self._send()

    def _send(self) -> None:
        if not self._waiting:
            return
        events = [event for _, event in self._waiting]
        is_known = any("known" in event for event in events)
        send = self._client.import_batch if is_known else self._client.track_batch
        results = send(events)["results"]
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
