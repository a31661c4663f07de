"""Python imports this at its start, where the harness has put it on PYTHONPATH."""

import os
from pathlib import Path

from tests.chaos import kill_points, mutants

mutants.install(os.environ.get("CHAOS_MUTANT", ""))
if "CHAOS_ARMED" in os.environ:
    kill_points.install(os.environ.get("CHAOS_ROLE", ""), Path(os.environ["CHAOS_ARMED"]))
