"""Several gateway processes on one socket: started, replaced one set by another, stopped.

The processes share one listening socket, so that a connection that waits to be accepted
belongs to none of them and outlives each. SIGHUP starts a new set of processes, with the
code and settings that are there by then, and parts with the old one once the new one serves.
"""

import logging
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from ingest.gateway.parting import take_in_nobody

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
STOP_SECONDS = 20.0
_REVIVE_AFTER_S = 1.0
_CHECKOUT = Path(__file__).resolve().parents[2]


class Worker:
    """One process; `command` gets the numbers of its descriptors as arguments: the listening
    socket, a pipe that is closed with this process, a pipe for a byte once it serves."""

    def __init__(self, command: Sequence[str], listener: socket.socket) -> None:
        self._alive_read, self._alive_write = os.pipe()
        self.ready, ready_write = os.pipe()
        descriptors = (listener.fileno(), self._alive_read, ready_write)
        self._process = subprocess.Popen(
            [*command, *map(str, descriptors)],
            pass_fds=descriptors,
            cwd=_CHECKOUT,
            # A terminal's Ctrl-C is for the supervisor, which hands it on in order.
            start_new_session=True,
        )
        os.close(self._alive_read)
        os.close(ready_write)
        self.started = time.monotonic()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def wait_ready(self, seconds: float) -> bool:
        """False when it died or takes longer."""
        readable, _, _ = select.select([self.ready], [], [], seconds)
        return bool(readable) and os.read(self.ready, 1) == b"1"

    def part(self) -> None:
        """Let it answer what it was asked, and end."""
        if not self.is_dead():
            self._process.terminate()

    def end(self, seconds: float) -> None:
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            logger.warning("The gateway process %d did not stop in time; it is killed.", self.pid)
            self._process.kill()
            self._process.wait()
        for descriptor in (self._alive_write, self.ready):
            os.close(descriptor)


class Supervisor:
    """Keeps `workers` processes of `command` on `listener` until SIGTERM or SIGINT."""

    def __init__(self, command: Sequence[str], listener: socket.socket, workers: int) -> None:
        self._command = command
        self._listener = listener
        self._wanted = workers
        self._workers: list[Worker] = []
        self._leaving: list[tuple[Worker, float]] = []
        self._stopping = False
        self._reloading = False
        self._wake_read, self._wake_write = os.pipe()

    def run(self, on_ready: Callable[[], None]) -> None:
        """Raises `RuntimeError` when the processes can't start."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)
        try:
            self._workers = self._start_set()
            if not self._workers and not self._stopping:
                raise RuntimeError("The gateway's processes did not start; their log says why.")
            on_ready()
            while not self._stopping:
                self._keep()
                if select.select([self._wake_read], [], [], 0.5)[0]:
                    os.read(self._wake_read, 4_096)
        finally:
            self._stop()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reloading = True
        else:
            self._stopping = True
        os.write(self._wake_write, b"!")

    def _keep(self) -> None:
        if self._reloading:
            self._reloading = False
            self._reload()
        for worker in [worker for worker in self._workers if worker.is_dead()]:
            logger.error("The gateway process %d died; another one is started.", worker.pid)
            self._workers.remove(worker)
            worker.end(0)
            if time.monotonic() - worker.started < _REVIVE_AFTER_S:
                time.sleep(_REVIVE_AFTER_S)
            self._workers.append(Worker(self._command, self._listener))
        for leaving in [one for one in self._leaving if self._is_gone(*one)]:
            self._leaving.remove(leaving)

    @staticmethod
    def _is_gone(worker: Worker, since: float) -> bool:
        if not worker.is_dead() and time.monotonic() - since < STOP_SECONDS:
            return False
        worker.end(0)
        return True

    def _reload(self) -> None:
        fresh = self._start_set()
        if not fresh:
            logger.error("The new gateway processes did not start; the old ones stay.")
            return
        old, self._workers = self._workers, fresh
        for worker in old:
            worker.part()
            self._leaving.append((worker, time.monotonic()))
        logger.info("The gateway runs with %d new processes.", len(fresh))

    def _start_set(self) -> list[Worker]:
        """All of them, or none."""
        workers = [Worker(self._command, self._listener) for _ in range(self._wanted)]
        deadline = time.monotonic() + START_SECONDS
        if all(worker.wait_ready(deadline - time.monotonic()) for worker in workers):
            return workers
        for worker in workers:
            worker.part()
        for worker in workers:
            worker.end(STOP_SECONDS)
        return []

    def _stop(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        take_in_nobody(self._listener)
        workers = [*self._workers, *(worker for worker, _ in self._leaving)]
        for worker in workers:
            worker.part()
        # Those that wait to be accepted are taken by the processes before they close their ends.
        self._listener.close()
        for worker in workers:
            worker.end(deadline - time.monotonic())
