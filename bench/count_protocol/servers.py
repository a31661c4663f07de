"""Broker and store of the benchmark, the two logs, and one run of one side."""

import subprocess
import sys
import time

import msgspec

from bench import cores
from bench.count_protocol import LOGS
from bench.logs import LogWriter
from bench.pipeline import Pipeline
from bench.processes import DATA, ROOT, environment
from bench.rounds import Measurement
from bench.traffic import page_views

# The events of a log arrived within an hour.
_SPAN_MS = 3_600_000
_RUN_TIMEOUT_S = 600


class Servers:
    """Started once, for every run of every side."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._pipeline = Pipeline(DATA / "count-protocol")
        self._end_ms = int(time.time() * 1_000)

    def start(self) -> None:
        self._pipeline.start()
        for topic, retryable in LOGS.items():
            self._fill(topic, retryable)

    def stop(self) -> None:
        self._pipeline.stop()

    def count(self, topic: str, side: str) -> Measurement:
        """Count the whole topic into an empty store."""
        self._pipeline.empty_store()
        found = self._catch_up(topic, side)
        millions = found["events"] / 1e6
        return {
            "s per event": found["seconds"] / found["events"],
            "events/s": found["events"] / found["seconds"],
            "CPU s": found["cpu"] / millions,
            "store CPU s": found["store_cpu"] / millions,
        }

    def _catch_up(self, topic: str, side: str) -> dict[str, float]:
        # The clock of every run stands where the log ends, so that "now" is the same for all.
        slow_ms = int(time.time() * 1_000) - self._end_ms
        module = [sys.executable, "-m", "bench.count_protocol.catch_up"]
        done = subprocess.run(
            cores.on_measured([*module, side, str(self._events), str(slow_ms)]),
            cwd=ROOT,
            env=environment(self._pipeline.settings(topic)),
            stdout=subprocess.PIPE,
            check=True,
            timeout=_RUN_TIMEOUT_S,
        )
        found: dict[str, float] = msgspec.json.decode(done.stdout)
        return found

    def _fill(self, topic: str, retryable: bool) -> None:
        """One partition, with all events in it."""
        log = LogWriter(self._pipeline.bootstrap_servers)
        log.make(topic, partitions=1)
        span = (self._end_ms - _SPAN_MS, self._end_ms)
        for page_view in page_views(self._events, *span, retryable):
            log.write(topic, page_view)
        log.finish()
