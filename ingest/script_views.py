"""Serves the tracker script, to pages of every origin."""

import re

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from ingest.tracker_script import TrackerScript, tracker_script

_ACCEPTS_GZIP = re.compile(r"\bgzip\b")
# A site gets a new version within the hour; an address with its version never changes.
_CACHED, _CACHED_FOR_EVER = "public, max-age=3600", "public, max-age=31536000, immutable"


@require_safe
def script(request: HttpRequest, name: str) -> HttpResponse:
    """`/js/<name>`, and with `?v=<version>` for ever."""
    found = tracker_script(name, settings.DUPLICATE_WINDOW_MINUTES)
    etag = f'W/"{found.version}"'
    response = _with_body(request, found)
    response["ETag"] = etag
    is_versioned = request.GET.get("v") == found.version
    response["Cache-Control"] = _CACHED_FOR_EVER if is_versioned else _CACHED
    response["Vary"] = "Accept-Encoding"
    # What `integrity` and modules need, and pages that isolate themselves.
    response["Access-Control-Allow-Origin"] = "*"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return get_conditional_response(request, etag=etag, response=response) or response


def _with_body(request: HttpRequest, script: TrackerScript) -> HttpResponse:
    zipped = _ACCEPTS_GZIP.search(request.headers.get("Accept-Encoding", "")) is not None
    body = script.gzipped if zipped else script.text
    response = HttpResponse(body, "text/javascript; charset=utf-8")
    if zipped:
        response["Content-Encoding"] = "gzip"
    return response
