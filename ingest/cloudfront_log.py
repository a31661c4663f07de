"""Reads CloudFront's standard access logs: tab-separated, with their columns in a comment. Pure.

The format: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html
"""

from datetime import datetime
from urllib.parse import unquote

from ingest.access_log import MalformedLine, Request

_FIELDS = "#Fields:"
_NEEDED = ("date", "time", "c-ip", "cs-method", "cs-uri-stem", "sc-status")


class CloudFrontLog:
    """Reads line by line; the columns are those of the last `#Fields` line."""

    def __init__(self) -> None:
        self._columns: list[str] = []

    def __call__(self, line: str) -> Request | None:
        """None: a comment. Raises `MalformedLine`."""
        if line.startswith(_FIELDS):
            self._columns = line.removeprefix(_FIELDS).split()
            return None
        if line.startswith("#"):
            return None
        values = line.split("\t")
        if not self._columns:
            raise MalformedLine(
                "no line before it begins with “#Fields:”, so its columns are unknown"
            )
        if len(values) != len(self._columns):
            raise MalformedLine(f"it has {len(values)} columns, #Fields has {len(self._columns)}")
        return _request(dict(zip(self._columns, values, strict=True)))


def _request(row: dict[str, str]) -> Request:
    for name in _NEEDED:
        if row.get(name, "-") == "-":
            raise MalformedLine(f"{name} is missing; log all standard fields")
    query, referrer = row.get("cs-uri-query", "-"), row.get("cs(Referer)", "-")
    return Request(
        address=row["c-ip"],
        ts=_read_time(f"{row['date']}T{row['time']}+00:00"),
        method=row["cs-method"],
        target=row["cs-uri-stem"] + ("" if query == "-" else f"?{query}"),
        status=_status(row["sc-status"]),
        referrer=None if referrer == "-" else unquote(referrer),
    )


def _read_time(text: str) -> int:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise MalformedLine(
            f"date and time are {text[:40]!r}, not like 2019-12-04 21:02:31"
        ) from None


def _status(text: str) -> int:
    """000 where the viewer left before an answer."""
    if not text.isdecimal():
        raise MalformedLine(f"sc-status is {text[:20]!r}, which is no HTTP status")
    return int(text)
