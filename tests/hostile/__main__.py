"""`python -m tests.hostile`: send the running product what no client would, and see it unmoved."""

import argparse
import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path


def main() -> int:
    options = _options()
    # Whoever stops it leaves nothing behind either; hypothesis holds a SystemExit for a failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "tracker_site.settings", "DATA_DIR": name}
        import django

        django.setup()
        from tests.hostile.report import run

        return run(Path(name), options.cases, options.seed, options.every)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--every", type=float, default=20.0, help="seconds between words of it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
