"""How a request for the tracker script is answered, whichever server got it. Pure."""

import re

from django.utils.http import parse_etags

from ingest.door import method_not_allowed
from ingest.doors.endpoint import DoorRequest
from ingest.reply import Headers, Reply
from ingest.tracker_script import TrackerScript

ALLOWED_METHODS = "GET, HEAD"
_ACCEPTS_GZIP = re.compile(r"\bgzip\b")
# A site gets a new version within the hour; an address with its version never changes.
_CACHED, _CACHED_FOR_EVER = "public, max-age=3600", "public, max-age=31536000, immutable"


def script_reply(script: TrackerScript, request: DoorRequest) -> Reply:
    """To a request for `/js/<name>`, or `/js/<name>?v=<version>`."""
    if request.method not in ("GET", "HEAD"):
        body = method_not_allowed(request.method, ALLOWED_METHODS)
        return Reply(405, body, "application/json", (("Allow", ALLOWED_METHODS),))
    headers = _headers(script, request.query)
    if _has_it(script, request.headers.get("if-none-match", "")):
        return Reply(304, headers=headers)
    content_type = "text/javascript; charset=utf-8"
    if _ACCEPTS_GZIP.search(request.headers.get("accept-encoding", "")) is None:
        return Reply(200, script.text, content_type, headers)
    return Reply(200, script.gzipped, content_type, (*headers, ("Content-Encoding", "gzip")))


def _headers(script: TrackerScript, query: str) -> Headers:
    is_versioned = f"v={script.version}" in query.split("&")
    return (
        ("ETag", f'W/"{script.version}"'),
        ("Cache-Control", _CACHED_FOR_EVER if is_versioned else _CACHED),
        ("Vary", "Accept-Encoding"),
        # What `integrity` and modules need, and pages that isolate themselves.
        ("Access-Control-Allow-Origin", "*"),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
    )


def _has_it(script: TrackerScript, if_none_match: str) -> bool:
    """Weakly compared (RFC 9110 §13.1.2)."""
    tags = [tag.removeprefix("W/") for tag in parse_etags(if_none_match)]
    return tags == ["*"] or f'"{script.version}"' in tags
