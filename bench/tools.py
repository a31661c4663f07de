"""The programs that the ingest benchmark needs: `python -m bench.tools` brings them."""

import os
import shutil
import subprocess
import sys

from bench.processes import DATA, ROOT

GIN = DATA / "bin" / "gin"
OHA = DATA / "bin" / "oha"
_OHA_VERSION = "1.16.0"


class ToolMissing(RuntimeError):
    """Raised when a program is not here and can't be brought; says how to get it."""


def install() -> None:
    """Raises `ToolMissing`."""
    _require_wrk()
    _build_gin()
    if not OHA.exists():
        _build_oha()


def _require_wrk() -> None:
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ToolMissing("`wrk` is not installed (Debian: the package wrk).")
    subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], check=True)


def _build_gin() -> None:
    """Go's own cache makes it quick where nothing has changed. `sonic` is the quickest of the JSON
    codecs that Gin can be built with."""
    _require("go", "Go 1.26 or newer", "golang")
    source = ROOT / "bench" / "peers" / "gin"
    subprocess.run(["go", "build", "-tags", "sonic", "-o", str(GIN), "."], cwd=source, check=True)


def _build_oha() -> None:
    _require("cargo", "Rust 1.88 or newer", "cargo")
    print("Building oha, the load generator (once, some minutes) …", file=sys.stderr)
    place = ["--root", str(DATA)]
    build = ["cargo", "install", "--quiet", "--locked", "oha", "--version", _OHA_VERSION]
    subprocess.run([*build, *place], check=True)


def _require(program: str, what: str, package: str) -> None:
    if shutil.which(program) is None:
        raise ToolMissing(f"`{program}` is missing: {what} is needed (Debian: {package}).")


def versions() -> list[str]:
    """Of the load generators and the peer's compiler."""
    go = subprocess.run(["go", "version"], capture_output=True, text=True).stdout.split()[2]
    return [f"Go {go.removeprefix('go')}", f"oha {_OHA_VERSION}", f"wrk {_wrk_version()}"]


def _wrk_version() -> str:
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True)
    return (said.stdout + said.stderr).split()[1]


if __name__ == "__main__":
    try:
        install()
    except ToolMissing as missing:
        sys.exit(str(missing))
