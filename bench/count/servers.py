"""Broker, store, and the logs with what is in them."""

import sys
import time

from msgspec.structs import replace

from bench.count import DIRECTORY
from bench.count.layouts import Layout
from bench.count.subjects import LOGS, PARTITIONS, LogKind, Subject
from bench.count.truth import Truth
from bench.logs import LogWriter
from bench.pipeline import Pipeline
from bench.traffic import page_views
from ingest.pageview import PageView
from processing.log import Log

# The events of a log arrived within an hour. It ended so long ago that no run, the first or the
# last, takes any of their visitors for present.
_SPAN_MS = 3_600_000
_AGO_MS = 600_000
_TELL_EVERY = 500_000


class Servers:
    """Started once, for every run of every subject."""

    def __init__(self, events: int) -> None:
        self._events = events
        self.pipeline = Pipeline(DIRECTORY)
        # Logs with the same share of the events have the same numbers.
        self._truths = {log.share: Truth() for log in LOGS}

    def start(self) -> None:
        self.pipeline.start()
        self._fill()

    def stop(self) -> None:
        self.pipeline.stop()

    def truth(self, log: LogKind) -> Truth:
        """Of a whole log."""
        return self._truths[log.share]

    def layout(self, subject: Subject, topic: str) -> Layout:
        """Of the subject's numbers when it counts this topic."""
        found = Log(self.pipeline.bootstrap_servers, topic).describe()
        return subject.layout_of(found.id, found.partitions)

    def _fill(self) -> None:
        """The same events in every log, as far as they go."""
        writer = LogWriter(self.pipeline.bootstrap_servers)
        for log in LOGS:
            writer.make(log.topic, PARTITIONS)
        end_ms = int(time.time() * 1_000) - _AGO_MS
        traffic = page_views(self._events, end_ms - _SPAN_MS, end_ms, retryable=False)
        for number, page_view in enumerate(traffic):
            for share, truth in self._truths.items():
                if number < share * self._events:
                    truth.add(page_view)
            for log in LOGS:
                if number < log.share * self._events:
                    writer.write(log.topic, _as_in(log, page_view))
            if number % _TELL_EVERY == 0:
                print(f"Writing the logs: {number:,} of {self._events:,}", file=sys.stderr)
        writer.finish()


def _as_in(log: LogKind, page_view: PageView) -> PageView:
    return replace(page_view, retryable=log.retryable) if log.retryable else page_view
