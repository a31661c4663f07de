"""`python -m tests.postgresql COMMAND…`: runs COMMAND with DATABASE_URL naming a PostgreSQL
cluster of its own, from Debian's package, and exits with its code.

Where PostgreSQL is not installed it says so and exits 0, in CI 1.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import quote

SUPERUSER = "tracker"
# Nothing here outlives the command, so nothing has to survive a power cut.
OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgreSQLError(RuntimeError):
    """Raised when the cluster can't be made or does not start; says why."""


def binaries() -> Path | None:
    """The folder of the newest installed PostgreSQL server."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(debian, key=lambda path: float(path.parents[1].name))
    found = newest[-1] if newest else shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def cluster(programs: Path) -> Iterator[str]:
    """A new cluster that runs; gives its DATABASE_URL. It listens on a socket that only
    this user can reach, in a folder that is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="tracker-postgresql-") as name:
        directory = Path(name)
        if user := owner():
            shutil.chown(directory, user, user)
        data, log = directory / "data", directory / "log"
        options = " ".join(f"-c {option}" for option in (*OPTIONS, "listen_addresses="))
        initialise(programs, data)
        started = ("-D", data, "-l", log, "-w", "-o", f"-k {directory} {options}")
        _run(programs / "pg_ctl", *started, "start")
        try:
            yield f"postgres://{SUPERUSER}@{quote(name, safe='')}/postgres"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def initialise(programs: Path, data: Path) -> None:
    """Make a cluster in the folder `data`, whose parent is `owner`'s."""
    _run(programs / "initdb", "-D", data, "-U", SUPERUSER, "-A", "trust", "-N", "-E", "UTF8")


def owner() -> str | None:
    """PostgreSQL refuses to run as root: Debian's package brings a user for it."""
    return "postgres" if os.geteuid() == 0 else None


def _run(*command: str | Path) -> None:
    user = owner()
    done = subprocess.run(
        command,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode != 0:
        raise PostgreSQLError(f"{command[0]} failed: {done.stderr.strip()}")


def run_with(url: str, command: Sequence[str]) -> int:
    """Run `command` with DATABASE_URL=`url`; a Ctrl-C reaches it from the terminal, a
    SIGTERM is handed on, and this process waits for it either way."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    process = subprocess.Popen(command, env={**os.environ, "PATH": path, "DATABASE_URL": url})

    def hand_on(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            process.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, hand_on)
    code = process.wait()
    return code if code >= 0 else 128 - code


def main(command: Sequence[str]) -> int:
    if not command:
        print("Usage: python -m tests.postgresql COMMAND…", file=sys.stderr)
        return 2
    programs = binaries()
    if programs is None:
        print(
            "PostgreSQL is not installed, so nothing ran with it (Debian: apt install postgresql)."
        )
        return 1 if os.environ.get("CI") == "true" else 0
    try:
        with cluster(programs) as url:
            return run_with(url, command)
    except (PostgreSQLError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
