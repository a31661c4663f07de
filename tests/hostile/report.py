"""A session of its own, and what is said while it goes on and at its end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Servers, new_database, run_command
from tests.hostile.product import running
from tests.hostile.session import Session, session_of
from tracker_site.embedded.servers import Tansu, Valkey


def run(directory: Path, cases: int, seed: int, every: float) -> int:
    """Gives the exit code. Says how far it is `every` so many seconds."""
    begun = last = time.monotonic()
    told = 0
    _say(f"Hostile requests with seed {seed}: {cases} cases.")
    with _session(directory) as session:

        def tell() -> None:
            nonlocal last, told
            for finding in session.findings[told:]:
                _say(f"WRONG: {finding}")
            told = len(session.findings)
            if time.monotonic() - last > every:
                last = time.monotonic()
                _say(f"{session.cases} cases after {last - begun:.0f} s, "
                     f"{len(session.findings)} findings")  # fmt: skip

        session.run(cases, seed, tell)
        session.finish()
        tell()
        _tell_figures(session, time.monotonic() - begun)
        return 1 if session.findings else 0


def _tell_figures(session: Session, seconds: float) -> None:
    """Cases and answers of each kind, and what was wrong."""
    for name, of_kind in session.figures.items():
        statuses = ", ".join(f"{status} × {n}" for status, n in of_kind.statuses.most_common())
        _say(f"{name:<42} {of_kind.cases:>6}: {of_kind.accepted} messages; {statuses}")
    _say(f"{session.cases} cases in {seconds:.0f} s, {session.log.messages} messages in the log")
    _say(f"{len(session.findings)} findings" if session.findings else "nothing wrong")


def _say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def _session(directory: Path) -> Iterator[Session]:
    broker, store = Tansu(directory / "broker"), Valkey(directory / "store")
    try:
        broker.start()
        store.start()
        servers = Servers("embedded", broker.bootstrap_servers, store.url)
        with new_database(directory) as url:
            run_command(url, "migrate", "-v0")
            with running(directory, servers, url) as product, session_of(product) as session:
                yield session
    finally:
        broker.stop()
        store.stop()
