"""Reads Caddy's access log: JSON, an object a line. Pure.

The format: https://caddyserver.com/docs/caddyfile/directives/log
"""

import json
from datetime import datetime
from typing import Any

from ingest.access_log import MalformedLine, Request


def read_caddy_line(line: str) -> Request:
    """Raises `MalformedLine`, also for what Caddy logs beside requests."""
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise MalformedLine(f"it is no JSON: {error}") from None
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict):
        raise MalformedLine("it has no object “request”; only Caddy's access log can be imported")
    return Request(
        # `client_ip` heeds trusted proxies; versions before 2.7 had it not.
        address=_text(request, "client_ip") or _needed(request, "remote_ip"),
        ts=_read_time(entry.get("ts")),
        method=_needed(request, "method"),
        target=_needed(request, "uri"),
        status=_status(entry.get("status")),
        referrer=_header(request, "Referer"),
    )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _needed(request: dict[str, Any], name: str) -> str:
    value = _text(request, name)
    if not value:
        raise MalformedLine(f"“request.{name}” is missing or empty")
    return value


def _status(value: Any) -> int:
    if not isinstance(value, int):
        raise MalformedLine(f"“status” is {value!r}, which is no HTTP status")
    return value


def _read_time(value: Any) -> int:
    """Unix seconds, as Caddy writes them unless told otherwise, or ISO 8601."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError
            return round(moment.timestamp() * 1000)
        return round(float(value) * 1000)
    except (TypeError, ValueError, OverflowError):
        raise MalformedLine(
            f"“ts” is {value!r}; let Caddy write its time_format unix_seconds_float or iso8601"
        ) from None


def _header(request: dict[str, Any], name: str) -> str | None:
    headers = request.get("headers")
    values = headers.get(name) if isinstance(headers, dict) else None
    first = values[0] if isinstance(values, list) and values else None
    return first if isinstance(first, str) and first else None
