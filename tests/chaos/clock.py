"""The wall clock of one process, which can be put wrong while it runs (`clock.c`)."""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")
_AHEAD = struct.Struct("=q")


def build(directory: Path) -> Path | None:
    """The library that puts clocks wrong; None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = directory / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE), "-ldl"]
    # Where the compiler has no C library to compile against, it is as good as none.
    done = subprocess.run(command, capture_output=True)
    return library if done.returncode == 0 else None


class Clock:
    """`file` tells the processes that run with `environment` how wrong their clock is."""

    def __init__(self, library: Path, file: Path) -> None:
        file.write_bytes(_AHEAD.pack(0))
        self.environment = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(file)}
        with file.open("r+b") as opened:
            self._ahead = mmap.mmap(opened.fileno(), _AHEAD.size)

    def jump(self, seconds: float) -> None:
        """Be so far ahead of the right time from now on; 0: be right."""
        self._ahead[:] = _AHEAD.pack(int(seconds * 1e9))
