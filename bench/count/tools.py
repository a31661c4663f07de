"""The peers of this benchmark: `python -m bench.count.tools` builds them.

Those in Python have a virtual environment each, which `make install-peers` makes: their
requirements exclude each other.
"""

import re
import subprocess
import sys
from pathlib import Path

from bench.processes import DATA
from bench.tools import BIN, PEERS, ToolMissing, build_go, go_version, require

GO_PROCESSOR = BIN / "goprocessor"
FLINK = DATA / "flink"
FLINK_JAR = FLINK / "page-views.jar"
_PYTHON_PEERS = {"pathway": "pathway", "bytewax": "bytewax", "quixstreams": "quixstreams",
                 "faust": "faust-streaming"}  # fmt: skip


def python_of(peer: str) -> Path:
    """The interpreter of the peer's virtual environment."""
    return DATA / "peers" / peer / "bin" / "python"


def install() -> None:
    """Raises `ToolMissing`."""
    for peer in _PYTHON_PEERS:
        if not python_of(peer).exists():
            raise ToolMissing(f"{peer} is not installed: run `make install-peers`.")
    build_go(PEERS / "goprocessor", GO_PROCESSOR)
    if _is_old(FLINK_JAR, PEERS / "flink"):
        _build_flink()


def _is_old(built: Path, source: Path) -> bool:
    changed = max(file.stat().st_mtime for file in source.rglob("*") if file.is_file())
    return not built.exists() or built.stat().st_mtime < changed


def _build_flink() -> None:
    require("mvn", "Maven", "maven")
    require("javac", "a Java 17 development kit", "openjdk-17-jdk-headless")
    print("Building the Flink job with Maven (once, a minute) …", file=sys.stderr)
    built = subprocess.run(
        ["mvn", "-q", "-B", "package"], cwd=PEERS / "flink", capture_output=True, text=True
    )
    if built.returncode != 0:
        raise ToolMissing(f"Maven could not build the Flink job: {built.stdout.strip()[-800:]}")


def versions() -> list[str]:
    """Of the peers."""
    return [
        *(f"{package} {_pinned(peer, package)}" for peer, package in _PYTHON_PEERS.items()),
        f"Flink {_first(PEERS / 'flink' / 'pom.xml', r'<flink.version>(.+?)<')}",
        go_version(),
        *(f"{name} {_go_module(name)}" for name in ("franz-go", "go-redis/v9")),
    ]


def _pinned(peer: str, package: str) -> str:
    return _first(PEERS / peer / "requirements.txt", rf"^{package}(?:\[\w+\])?==(\S+)")


def _go_module(name: str) -> str:
    return _first(PEERS / "goprocessor" / "go.mod", rf"/{name} v(\S+)")


def _first(file: Path, pattern: str) -> str:
    found = re.search(pattern, file.read_text(), re.MULTILINE)
    return found.group(1) if found else "?"


if __name__ == "__main__":
    try:
        install()
    except ToolMissing as missing:
        sys.exit(str(missing))
