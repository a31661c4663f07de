"""Reads access logs of Apache and nginx, `combined` or `common`. Pure.

The formats: https://httpd.apache.org/docs/2.4/logs.html#accesslog
"""

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_COMBINED = rf"(?: {_QUOTED} {_QUOTED}(?: .*)?)?"
_line = re.compile(rf"(\S+) \S+ (?:\S.*?) \[([^\]]+)\] {_QUOTED} (\d{{3}}) (?:\d+|-){_COMBINED}")
_TIME_FORMAT = "%d/%b/%Y:%H:%M:%S %z"
_PAGE_ENDINGS = (".html", ".htm", ".php")

NOT_GET, NOT_SHOWN, NOT_A_PAGE = "not a GET", "status is not 200 or 304", "not a page"


class MalformedLine(ValueError):
    """Raised for a line that is not of a known format; says what is wrong with it."""


@dataclass(frozen=True)
class Request:
    """One line. `ts` is Unix milliseconds; `target` is the path with its query."""

    address: str
    ts: int
    method: str
    target: str
    status: int
    referrer: str | None


def read_line(line: str) -> Request:
    """Raises `MalformedLine`."""
    match = _line.fullmatch(line)
    if match is None:
        raise MalformedLine(_complaint(line))
    address, time, request, status, referrer, _ = match.groups()
    words = request.split(" ")
    if len(words) < 2:
        raise MalformedLine(f"the request {request[:60]!r} has no method and path")
    return Request(
        address=address,
        ts=_read_time(time),
        method=words[0],
        target=words[1],
        status=int(status),
        referrer=None if referrer in (None, "", "-") else referrer,
    )


def _complaint(line: str) -> str:
    if not line.strip():
        return "the line is empty"
    if line.count('"') % 2:
        return "a quotation mark is not closed"
    return "it is neither of the combined nor of the common log format"


def _read_time(text: str) -> int:
    try:
        return int(datetime.strptime(text, _TIME_FORMAT).timestamp() * 1000)  # noqa: DTZ007  %z
    except (ValueError, OverflowError):
        raise MalformedLine(
            f"the time {text[:40]!r} is not like 17/May/2015:10:05:03 +0000"
        ) from None


def skip_reason(request: Request) -> str | None:
    """Why the request is no page view; None when it is one.

    A page view is a GET that was answered with 200 or 304 and whose last path segment has no
    dot or the ending of a page.
    """
    if request.method != "GET":
        return NOT_GET
    if request.status not in (200, 304):
        return NOT_SHOWN
    path = re.split("[?#]", request.target, maxsplit=1)[0]
    last = path.rpartition("/")[2]
    return NOT_A_PAGE if "." in last and not last.endswith(_PAGE_ENDINGS) else None


class EventIds:
    """Ids that are the same whenever the same file is read from its beginning.

    Identical lines are told apart by how many came before, so that each counts. Of a log that is
    followed for months the last million different lines are remembered; identical ones have the
    same time in them, so they lie near each other.
    """

    MOST = 1_000_000

    def __init__(self, site: str) -> None:
        self._site = site
        self._seen: dict[bytes, int] = {}
        self._before: dict[bytes, int] = {}

    def of(self, line: str) -> str:
        text = f"{self._site}\n{line}".encode(errors="replace")
        digest = blake2b(text, digest_size=12).digest()
        count = self._seen.get(digest) or self._before.get(digest, 0)
        if len(self._seen) >= self.MOST:
            self._before, self._seen = self._seen, {}
        self._seen[digest] = count + 1
        return f"log-{digest.hex()}-{count + 1}"
