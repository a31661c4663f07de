"""The lines of a file, of standard input, or of a file that goes on being written."""

import gzip
import io
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

# Nothing has come for so long: what waits is to be sent.
IDLE_S = 1.0
_LOOK_EVERY_S = 0.25


@contextmanager
def open_log(path: Path) -> Iterator[tuple[IO[str], IO[bytes]]]:
    """Its text, unpacked where its name ends in `.gz`, and the file whose position tells how much
    was read. Raises `OSError`."""
    with path.open("rb") as raw:
        opened: Any = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        yield io.TextIOWrapper(opened, encoding="utf-8-sig", errors="replace", newline="\n"), raw


def standard_input() -> Iterator[str | None]:
    """Lines as they come; None when there was none for a while. Ends with the input."""
    waiting: queue.Queue[str | None] = queue.Queue(maxsize=10_000)

    def read() -> None:
        for line in sys.stdin:
            waiting.put(line)
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = waiting.get(timeout=IDLE_S)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line.rstrip("\r\n")


def followed(path: Path, sleep: Callable[[float], None] = time.sleep) -> Iterator[str | None]:
    """Lines of the file, those that are still to be written too, and of a new file that takes its
    name when it is rotated; None when there was none for a while. Never ends."""
    while True:
        with open_log(path) as (text, raw):
            yield from _until_replaced(path, text, raw, sleep)


def _until_replaced(
    path: Path, text: IO[str], raw: IO[bytes], sleep: Callable[[float], None]
) -> Iterator[str | None]:
    half, idle = "", 0.0
    while True:
        half += text.readline()
        if half.endswith("\n"):
            yield half.rstrip("\r\n")
            half, idle = "", 0.0
            continue
        if _is_replaced(path, raw):
            rest = half + text.readline()
            if rest:
                yield rest.rstrip("\r\n")
            return
        if idle >= IDLE_S:
            yield None
            idle = 0.0
        sleep(_LOOK_EVERY_S)
        idle += _LOOK_EVERY_S


def _is_replaced(path: Path, raw: IO[bytes]) -> bool:
    """Whether another file has the name by now, or this one was cut."""
    mine = os.fstat(raw.fileno())
    try:
        named = path.stat()
    except FileNotFoundError:
        return False  # between the two steps of a rotation
    return (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino) or named.st_size < raw.tell()
