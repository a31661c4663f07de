"""The programs that this benchmark needs: `python -m bench.ingest.tools` brings them."""

import os
import shutil
import subprocess
import sys

from bench.processes import DATA
from bench.tools import BIN, PEERS, ToolMissing, build_go, go_version, require

GIN = BIN / "gin"
OHA = BIN / "oha"
_OHA_VERSION = "1.16.0"


def install() -> None:
    """Raises `ToolMissing`."""
    _require_wrk()
    # `sonic` is the quickest of the JSON codecs that Gin can be built with.
    build_go(PEERS / "gin", GIN, "-tags", "sonic")
    if not OHA.exists():
        _build_oha()


def _require_wrk() -> None:
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ToolMissing("`wrk` is not installed (Debian: the package wrk).")
    subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], check=True)


def _build_oha() -> None:
    require("cargo", "Rust 1.88 or newer", "cargo")
    print("Building oha, the load generator (once, some minutes) …", file=sys.stderr)
    place = ["--root", str(DATA)]
    build = ["cargo", "install", "--quiet", "--locked", "oha", "--version", _OHA_VERSION]
    subprocess.run([*build, *place], check=True)


def versions() -> list[str]:
    """Of the load generators and the peer's compiler."""
    return [go_version(), f"oha {_OHA_VERSION}", f"wrk {_wrk_version()}"]


def _wrk_version() -> str:
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True)
    return (said.stdout + said.stderr).split()[1]


if __name__ == "__main__":
    try:
        install()
    except ToolMissing as missing:
        sys.exit(str(missing))
