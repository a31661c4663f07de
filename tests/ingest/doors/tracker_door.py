"""A running tracker as another tracker's clients see it, and what it logged of what they sent."""

import json
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from ingest.pageview import PageView
from tests.ingest.tracker_script.tracked_site import LogReader
from tests.processing.pipeline import wait_for

SITE = "shop.example"
WEBSITE = "94db1cb1-74f4-4a40-ad6c-962362670409"
# By each of these it is known somewhere.
ALIASES = (WEBSITE, "1", "write-key", "shop-app", "G-ABC123", "gc-token", "stats.shop.example")
CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 "
    "Safari/537.36"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
SECONDS = 20.0


@dataclass(frozen=True)
class Said:
    """`headers` are named in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class TrackerDoor:
    """Asks one process, and tells its events from those that others sent before."""

    def __init__(self, port: int, log: LogReader) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._seen = 0
        self._marks = 0

    def ask(self, path: str, body: Any = b"", method: str = "POST", **headers: str) -> Said:
        """Headers are named like `content_type`."""
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        fields = {"content_type": "application/json", "user_agent": CHROME} | headers
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=15)) as connection:
            connection.request(method, path, data or None, named)
            response = connection.getresponse()
            return Said(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )

    def get(self, path: str, **headers: str) -> Said:
        return self.ask(path, method="GET", **headers)

    def events(self, count: int = 1, at_least: bool = False) -> list[PageView]:
        """Those that came since it was asked last, once there are as many, and no more; in the
        order of their arrival, through whichever partition they came."""
        wait_for(lambda: len(self.log.read()) - self._seen >= count, f"{count} events", SECONDS)
        found = self.log.read()[self._seen :]
        self._seen += len(found)
        assert at_least or len(found) == count, found
        return sorted(found, key=lambda event: event.received)

    def event(self) -> PageView:
        (event,) = self.events()
        return event

    def skip(self) -> None:
        """What came until now is of no interest, as long as it can be read."""
        self._seen = len(self.log.read())

    def check_event(self, expected: dict[str, Any]) -> None:
        """Exactly one came; where `expected` names no site, it is the door's."""
        event = self.event()
        wanted = {"site": SITE, "bot": None} | expected
        found = {name: getattr(event, name) for name in wanted}
        assert found == wanted, f"{found} instead of {wanted}"

    def no_event(self) -> None:
        """Nothing came: what is sent now is the next that comes, in each partition."""
        self._marks += 1
        marks = {f"mark-{self._marks}-{n}" for n in range(8)}
        sent = [
            {"page_url": "/", "event_id": mark, "user_id": mark, "site": SITE} for mark in marks
        ]
        assert self.ask("/api/v1/track/batch", {"events": sent}).status == 202
        assert {event.id for event in self.events(len(marks))} == marks
