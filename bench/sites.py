"""The tracked sites of the benchmarks: `python -m bench.sites` makes the database and them."""

import subprocess
import sys
from pathlib import Path

import django
from django.core.management import call_command

from bench.processes import ROOT, environment
from bench.traffic import SITES


def prepare_sites(settings: dict[str, str]) -> None:
    """In a process of its own: the settings are read once."""
    Path(settings["DATA_DIR"]).mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "bench.sites"], cwd=ROOT, env=environment(settings), check=True
    )


def _make() -> None:
    from ingest.models import Site

    call_command("migrate", verbosity=0)
    sites = [Site(public_id=public_id) for public_id in SITES]
    Site.objects.bulk_create(sites, ignore_conflicts=True)


if __name__ == "__main__":
    django.setup()
    _make()
