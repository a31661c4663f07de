"""Programs that benchmarks build or bring: what is common to all of them."""

import shutil
import subprocess
from pathlib import Path

from bench.processes import DATA, ROOT

PEERS = ROOT / "bench" / "peers"
BIN = DATA / "bin"
GO = ("go", "Go 1.26 or newer", "golang")


class ToolMissing(RuntimeError):
    """Raised when a program is not here and can't be brought; says how to get it."""


def require(program: str, what: str, package: str) -> None:
    """Raises `ToolMissing`."""
    if shutil.which(program) is None:
        raise ToolMissing(f"`{program}` is missing: {what} is needed (Debian: {package}).")


def build_go(source: Path, binary: Path, *options: str) -> None:
    """Go's own cache makes it quick where nothing has changed. Raises `ToolMissing`."""
    require(*GO)
    subprocess.run(["go", "build", *options, "-o", str(binary), "."], cwd=source, check=True)


def go_version() -> str:
    said = subprocess.run(["go", "version"], capture_output=True, text=True).stdout
    return f"Go {said.split()[2].removeprefix('go')}"
