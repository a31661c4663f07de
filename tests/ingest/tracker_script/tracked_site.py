"""A web site of another origin whose pages carry the tracker script, and what the tracker's log
holds of it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from playwright.sync_api import Page

from ingest.pageview import PageView, decode
from tests.processing.pipeline import wait_for

SECONDS = 20.0
BATCH = "**/api/v1/track/batch"


class LogReader:
    """Follows a topic of two partitions from its beginning."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._events: list[PageView] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "tests",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 5,
                "fetch.wait.max.ms": 20,
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(2)])

    def read(self) -> list[PageView]:
        """What has come until now."""
        while (message := self._consumer.poll(0.05)) is not None:
            assert message.error() is None
            self._events.append(decode(message.value()))
        return self._events

    def close(self) -> None:
        self._consumer.close()


@dataclass
class TrackedSite:
    """`pages` are bodies by path; every other path is an empty page, those of `missing` with 404.
    `head` stands in each of them."""

    public_id: str
    tracker: str
    log: LogReader
    url: str = ""
    head: str = ""
    pages: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def install(self, options: str = "", before: str = "") -> None:
        """Put the script into every page, as the snippet has it."""
        wanted = f' data-options="{options}"' if options else ""
        self.head = (
            f'{before}<script async src="{self.tracker}/js/t.js" data-site="{self.public_id}"'
            f"{wanted}></script>"
        )

    def html(self, path: str) -> bytes:
        body = self.pages.get(path, "")
        head = f"<meta charset=utf-8><title>Page {path}</title>{self.head}"
        return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode()

    def events(self) -> list[PageView]:
        """Everything of this site that the tracker's log holds, copies too."""
        return [event for event in self.log.read() if event.site == self.public_id]

    def named(self, name: str) -> list[PageView]:
        """What is counted of them: an event that came again under its id is the same."""
        return list({event.id: event for event in self.events() if event.name == name}.values())

    def paths(self) -> list[str]:
        """Of its page views, in the order in which they happened."""
        return [event.path for event in sorted(self.named("pageview"), key=_moment)]

    def wait_paths(self, *paths: str) -> None:
        """Until exactly these pages were viewed, in this order."""
        wait_for(lambda: len(self.paths()) >= len(paths), f"views of {paths}", SECONDS)
        assert self.paths() == list(paths)

    def wait_named(self, name: str, events: int = 1) -> list[dict[str, Any]]:
        """The properties of these events, once there are as many."""
        wait_for(lambda: len(self.named(name)) >= events, f"{events} {name}", SECONDS)
        found = self.named(name)
        assert len(found) == events, found
        return [event.props or {} for event in found]


def _moment(event: PageView) -> int:
    """When the browser made it, in ms: requests that are under way together may arrive in another
    order, but the script's ids begin with its clock."""
    return int(event.id.partition("-")[0]) if event.retryable else event.ts


@contextmanager
def serve(site: TrackedSite) -> Iterator[TrackedSite]:
    """The site's web server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            body = site.html(path)
            self.send_response(404 if path in site.missing else 200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # the browser is elsewhere already
                self.wfile.write(body)

        do_POST: Callable[["Handler"], None] = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever).start()
        site.url = f"http://127.0.0.1:{server.server_port}"
        yield site
        server.shutdown()


def visit(page: Page, site: TrackedSite, path: str = "/") -> None:
    """Returns once the page's view was accepted."""
    with page.expect_response(BATCH) as sent:
        page.goto(site.url + path)
    assert sent.value.status == 202


def ready(page: Page) -> None:
    """Options are there once their module is: it is the last thing that loads."""
    page.wait_for_load_state("networkidle")


def close(page: Page) -> None:
    """As people close a tab."""
    with page.expect_event("close"):
        page.close(run_before_unload=True)
