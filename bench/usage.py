"""What a process and its children have used."""

from dataclasses import dataclass

import psutil


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


def _read(process: psutil.Process) -> Usage:
    try:
        with process.oneshot():
            times = process.cpu_times()
            return Usage(times.user + times.system, process.memory_info().rss)
    except psutil.NoSuchProcess:
        return Usage(0.0, 0)
