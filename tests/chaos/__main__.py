"""`python -m tests.chaos`: break everything, and prove that every event is counted once."""

import argparse
import logging
import os
import secrets
import signal
import sys
import time
from pathlib import Path

from tests.chaos.database import PostgreSQL
from tests.chaos.schedule import DATABASES, POSTGRESQL, SQLITE
from tests.s3 import CREDENTIALS

BASE_DIR = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    options = _options()
    # Whoever stops it leaves nothing behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    directory = BASE_DIR / ".data" / "chaos"
    work = directory / f"session-{os.getpid()}"
    database = PostgreSQL() if options.database == POSTGRESQL else None
    _configure(work, database)
    import django

    django.setup()
    from tests.chaos.mutant_hunt import hunt
    from tests.chaos.report import Report
    from tests.chaos.session import Session

    logging.getLogger("chaos").setLevel("DEBUG" if options.verbose else "WARNING")
    report = Report(options.seed, options.database)
    deadline = time.monotonic() + options.minutes * 60
    if options.mutants is not None:
        with Session(directory, work, database, patience=15.0).running() as session:
            return 0 if hunt(session, options.seed, options.mutants) else 1
    with Session(directory, work, database, options.keep_logs).running() as session:
        report.begin(session)
        try:
            for seed in range(options.seed, options.seed + (options.runs or 1_000_000)):
                if options.runs is None and time.monotonic() > deadline:
                    break
                report.add(session.run(seed))
        finally:  # however it ends, what is known is told
            report.end()
    return 1 if report.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000),
                        help="of the first run; the runs after it count on")  # fmt: skip
    parser.add_argument("--database", choices=DATABASES, default=SQLITE)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--verbose", action="store_true", help="tell each step and fault")
    parser.add_argument("--keep-logs", action="store_true", help="of runs that went well, too")
    parser.add_argument("--mutants", nargs="*", metavar="NAME",
                        help="plant bugs instead, all or these, and see them caught")  # fmt: skip
    parser.add_argument("--runs", type=int, help="so many runs, however long they take")
    return parser.parse_args()


def _configure(work: Path, database: PostgreSQL | None) -> None:
    """Settings that the harness and everything that it starts have in common."""
    work.mkdir(parents=True)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tracker_site.settings",
        "DATA_DIR": str(work),
        "DATABASE_URL": (
            database.url(database.port) if database else f"sqlite:///{work / 'db.sqlite3'}"
        ),
        "LOG_FORMAT": "text",
        "SECRET_KEY": secrets.token_urlsafe(48),
        **CREDENTIALS,
    }


if __name__ == "__main__":
    sys.exit(main())
