"""`python -m tests.chaos`: break everything, and prove that every event is counted once."""

import argparse
import logging
import os
import secrets
import shutil
import sys
import time
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    options = _options()
    directory = BASE_DIR / ".data" / "chaos"
    shutil.rmtree(directory / "session", ignore_errors=True)
    _configure(directory / "session")
    import django

    django.setup()
    from tests.chaos.report import Report
    from tests.chaos.session import Session

    logging.basicConfig(level=logging.WARNING, format="  %(message)s")
    logging.getLogger("chaos").setLevel(logging.INFO)
    report = Report(options.seed)
    deadline = time.monotonic() + options.minutes * 60
    with Session(directory).running() as session:
        report.begin(session)
        for seed in range(options.seed, options.seed + (options.runs or 1_000_000)):
            if options.runs is None and time.monotonic() > deadline:
                break
            report.add(session.run(seed))
    report.end()
    return 1 if report.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000),
                        help="of the first run; the runs after it count on")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--runs", type=int, help="so many runs, however long they take")
    return parser.parse_args()


def _configure(work: Path) -> None:
    """Settings that the harness and everything that it starts have in common."""
    work.mkdir(parents=True)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tracker_site.settings",
        "DATA_DIR": str(work),
        "DATABASE_URL": f"sqlite:///{work / 'db.sqlite3'}",
        "SECRET_KEY": secrets.token_urlsafe(48),
    }


if __name__ == "__main__":
    sys.exit(main())
