"""What a process and its children have used."""

import threading
from dataclasses import dataclass

import psutil

_SAMPLE_S = 0.25


@dataclass(frozen=True)
class Usage:
    """CPU seconds since the start; resident bytes, of which shared pages count once a process."""

    cpu: float
    rss: int


def usage_of(pid: int) -> Usage:
    """Of the process and all its living descendants."""
    root = psutil.Process(pid)
    readings = [_read(process) for process in (root, *root.children(recursive=True))]
    return Usage(sum(r.cpu for r in readings), sum(r.rss for r in readings))


class RssWatch(threading.Thread):
    """The most memory, in bytes, that process trees had together. Starts watching when started."""

    def __init__(self, *pids: int) -> None:
        super().__init__(daemon=True)
        self._pids = pids
        self._done = threading.Event()
        self._most = 0

    def run(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            self._look()

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self._most

    def _look(self) -> None:
        try:
            self._most = max(self._most, sum(usage_of(pid).rss for pid in self._pids))
        except psutil.NoSuchProcess:
            self._done.set()


def _read(process: psutil.Process) -> Usage:
    try:
        with process.oneshot():
            times = process.cpu_times()
            return Usage(times.user + times.system, process.memory_info().rss)
    except psutil.NoSuchProcess:
        return Usage(0.0, 0)
