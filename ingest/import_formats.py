"""The formats that can be imported, and what is in their lines. Pure."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from ingest.access_log import EventIds, MalformedLine, Request, read_line, skip_reason
from ingest.caddy_log import read_caddy_line
from ingest.cloudfront_log import CloudFrontLog
from ingest.history_csv import (
    Event,
    GoatCounterRows,
    PlausibleRows,
    Row,
    SkippedRow,
    UmamiRows,
)

COMBINED, CADDY, CLOUDFRONT = "combined", "caddy", "cloudfront"


class UnknownFormat(ValueError):
    """Raised for a file that is of no format, or lacks a column; says what to do."""


@dataclass
class Found:
    """What is in a line, or in the row that ends with it: events, or why there are none."""

    line: int
    events: Iterable[Event] = field(default_factory=list)
    skipped: str = ""
    malformed: str = ""


class _Rows(Protocol):
    """Turns rows of a CSV file that has at least `columns` into events."""

    columns: ClassVar[tuple[str, ...]]

    def __init__(self, site: str) -> None: ...

    def __call__(self, row: Row) -> Iterator[Event]:
        """Raises `MalformedLine` or `SkippedRow` before the first event."""
        ...


_CSV: Mapping[str, type[_Rows]] = {
    "goatcounter": GoatCounterRows,
    "plausible": PlausibleRows,
    "umami": UmamiRows,
}
FORMATS = (COMBINED, CADDY, CLOUDFRONT, *_CSV)


def format_of(first_line: str) -> str:
    """By a file's first line; raises `UnknownFormat`."""
    if first_line.startswith("{"):
        return CADDY
    if first_line.startswith(("#Version", "#Fields")):
        return CLOUDFRONT
    columns = set(_columns(first_line))
    for name, rows in _CSV.items():
        if columns.issuperset(rows.columns):
            return name
    if first_line.startswith('"date",') or "Path,Title" in first_line:
        needed = "; ".join(f"{name}: {', '.join(rows.columns)}" for name, rows in _CSV.items())
        raise UnknownFormat(
            f"line 1: a CSV file with the columns {', '.join(sorted(columns))} can't be imported. "
            f"Needed are ({needed}). Of Plausible's files it is imported_pages_….csv."
        )
    return COMBINED


def found_in(lines: Iterable[str | None], site: str, format_: str) -> Iterator[Found | None]:
    """What is in each line; None for None, which means that no line has come for a while.
    Raises `UnknownFormat`."""
    if format_ in _CSV:
        yield from _found_in_csv(lines, _CSV[format_](site))
        return
    read = _reader(format_)
    ids, number = EventIds(site), 0
    for line in lines:
        if line is None:
            yield None
            continue
        number += 1
        yield _found_in_line(number, line, ids.of(line), read)


def _reader(format_: str) -> Callable[[str], Request | None]:
    if format_ == CLOUDFRONT:
        return CloudFrontLog()
    return read_caddy_line if format_ == CADDY else read_line


def _found_in_line(
    number: int, line: str, event_id: str, read: Callable[[str], Request | None]
) -> Found:
    try:
        request = read(line)
    except MalformedLine as error:
        return Found(number, malformed=str(error))
    if request is None:
        return Found(number, skipped="a comment")
    if reason := skip_reason(request):
        return Found(number, skipped=reason)
    return Found(number, [_event(event_id, request)])


def _event(event_id: str, request: Request) -> dict[str, Any]:
    event: dict[str, Any] = {
        "event_id": event_id,
        "user_id": request.address,
        "page_url": request.target,
        "timestamp": request.ts,
    }
    if request.referrer:
        event["referrer"] = request.referrer
    return event


def _found_in_csv(lines: Iterable[str | None], rows: _Rows) -> Iterator[Found]:
    reader = csv.reader(f"{line}\n" for line in lines if line is not None)
    columns = [name.lstrip("0123456789") for name in next(reader, [])]
    missing = [name for name in rows.columns if name not in columns]
    if missing:
        raise UnknownFormat(
            f"line 1: the column {missing[0]!r} is missing; found are {', '.join(columns)}. "
            "Export it again, or name another --format."
        )
    while True:
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield Found(reader.line_num, malformed=f"it is no CSV: {error}")
            continue
        if values is None:
            return
        if len(values) != len(columns):
            wrong = f"it has {len(values)} columns, the first line has {len(columns)}"
            yield Found(reader.line_num, malformed=wrong)
            continue
        yield _found_in_row(reader.line_num, dict(zip(columns, values, strict=True)), rows)


def _found_in_row(number: int, row: Row, rows: _Rows) -> Found:
    events = rows(row)
    try:
        first = next(events)
    except MalformedLine as error:
        return Found(number, malformed=str(error))
    except SkippedRow as reason:
        return Found(number, skipped=str(reason))
    return Found(number, _chain(first, events))


def _chain(first: Event, others: Iterator[Event]) -> Iterator[Event]:
    yield first
    yield from others


def _columns(line: str) -> list[str]:
    return [name.lstrip("0123456789") for name in next(csv.reader([line]), [])]
