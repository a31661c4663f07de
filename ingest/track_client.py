"""A client of the public API, as a site's own server would write one, and of imports."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from ingest.import_signature import HEADER, sign

_RETRIED = (429, 502, 503, 504)


class TrackError(RuntimeError):
    """Raised when the API refuses a request, or can't be reached in several tries."""


class TrackClient:
    """Sends events over one connection; safe to repeat when events carry an `event_id`.

    What is refused for a while (429, 503) or not answered is tried `tries` times, waiting
    as long as Retry-After asks. Raises `TrackError`.
    """

    def __init__(
        self, url: str, tries: int = 8, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._url = url
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TrackError(f"The URL {url!r} must begin with http:// or https://.")
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname, parts.port, timeout=60)
        self._prefix = parts.path.rstrip("/")
        self._tries = tries
        self._sleep = sleep

    def close(self) -> None:
        self._connection.close()

    def track(self, event: dict[str, Any]) -> dict[str, Any]:
        """The answer to one event."""
        return self._post("/api/v1/track", event)

    def track_batch(self, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The answer to up to 1,000 events, with a result for each."""
        return self._post("/api/v1/track/batch", {"events": list(events)})

    def import_batch(self, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The same for events with a field `known`; needs the tracker's SECRET_KEY."""
        return self._post("/api/v1/import", {"events": list(events)}, signed=True)

    def _post(self, path: str, body: dict[str, Any], signed: bool = False) -> dict[str, Any]:
        problem = ""
        for attempt in range(self._tries):
            try:
                status, retry_after, answer = self._exchange(path, body, signed)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                status, retry_after, problem = 0, None, str(error) or type(error).__name__
            else:
                if status not in (0, *_RETRIED):
                    return self._read(status, answer)
                problem = f"HTTP {status}: {answer[:300].decode(errors='replace')}"
            if attempt + 1 < self._tries:
                self._sleep(retry_after if retry_after is not None else min(10.0, 0.5 * 2**attempt))
        raise TrackError(f"{self._url} did not take the events in {self._tries} tries: {problem}")

    def _exchange(
        self, path: str, body: dict[str, Any], signed: bool
    ) -> tuple[int, float | None, bytes]:
        headers = {"Content-Type": "application/json", "User-Agent": "page-view-tracker"}
        encoded = json.dumps(body).encode()
        if signed:  # anew with each try: a signature is good for some minutes
            headers[HEADER] = sign(encoded)
        self._connection.request("POST", self._prefix + path, encoded, headers)
        response = self._connection.getresponse()
        wait = response.headers.get("Retry-After", "")
        return response.status, float(wait) if wait.isdigit() else None, response.read()

    def _read(self, status: int, answer: bytes) -> dict[str, Any]:
        """A batch in which every event is refused is an answer too."""
        try:
            decoded = json.loads(answer)
        except ValueError:
            decoded = None
        if isinstance(decoded, dict) and (status == 202 or "results" in decoded):
            return decoded
        shown = answer[:300].decode(errors="replace")
        raise TrackError(f"{self._url} refused the request with HTTP {status}: {shown}")
