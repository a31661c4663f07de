"""Stops a stack in the order in which nothing that was accepted is lost."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import psutil
import redis

from processing.counters import Counters, connect
from processing.log import Log, LogUnavailable
from tracker_site.embedded.child import BASE_DIR, manage

Say = Callable[[str], None]
STOP_SECONDS = 20.0
DRAIN_SECONDS = 60.0
ARCHIVE_SECONDS = 120.0


class Shutdown:
    """`processes` by name, as they run; `environment` as they were given it.

    First the web process, so that nothing more is accepted; then the log is counted to its
    end and archived, because the embedded broker's log goes with its process; then the rest.
    """

    def __init__(
        self, processes: Mapping[str, psutil.Process], environment: Mapping[str, str], say: Say
    ) -> None:
        self._processes = dict(processes)
        self._environment = environment
        self._say = say

    def run(self) -> None:
        self._stop("web")
        if "broker" in self._processes:
            self._drain()
            self._archive()
        self._stop("consumer", "worker", "beat")
        self._stop("store")
        self._stop("broker", "kafka")

    def kill(self) -> None:
        """Stop everything at once, whatever is under way."""
        for process in self._processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _stop(self, *names: str) -> None:
        """Ask the named processes to end; those that do not in time are killed."""
        asked = [self._processes.pop(name) for name in names if name in self._processes]
        for process in asked:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(asked, timeout=STOP_SECONDS)
        for process in alive:
            self._say(f"Process {process.pid} did not stop in {STOP_SECONDS:.0f} s and is killed.")
            process.kill()
        psutil.wait_procs(alive, timeout=5)

    def _drain(self) -> None:
        """Wait until the consumer has counted the log to its end."""
        deadline = time.monotonic() + DRAIN_SECONDS
        try:
            while left := self._uncounted():
                if time.monotonic() > deadline or not self._is_alive("consumer"):
                    self._say(
                        f"{left} events were accepted and not counted; they are lost with the "
                        "embedded broker's log unless the archive below holds them."
                    )
                    return
                time.sleep(0.1)
        except (LogUnavailable, redis.RedisError) as error:
            self._say(f"It can't be told whether everything is counted: {error}")

    def _uncounted(self) -> int:
        topic = self._environment.get("KAFKA_TOPIC", "pageviews")
        log = Log(self._environment["KAFKA_BOOTSTRAP_SERVERS"], topic, timeout=5.0)
        shards = int(self._environment.get("REDIS_SHARDS", "1"))
        counters = Counters(connect(self._environment["REDIS_URL"]), shards)
        described = log.describe()
        ends = log.ends(described.partitions)
        markers = counters.markers(described.id, described.partitions)
        return sum(max(0, end - min(m[p] for m in markers)) for p, end in ends.items())

    def _archive(self) -> None:
        try:
            done = subprocess.run(
                [sys.executable, *manage("archive")],
                cwd=BASE_DIR,
                env={**os.environ, **self._environment},
                capture_output=True,
                text=True,
                timeout=ARCHIVE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            self._say(f"The archive was not complete after {ARCHIVE_SECONDS:.0f} s.")
            return
        if done.returncode != 0:
            self._say(f"The archive could not be completed: {(done.stderr or done.stdout).strip()}")

    def _is_alive(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.is_running() and process.status() != "zombie"
