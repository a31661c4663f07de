"""Which core runs what: the measured process has one for itself, all others share the other."""

import os

MEASURED, OTHERS = 1, 0


class TooFewCores(RuntimeError):
    """Raised where the measured process can't have a core of its own."""


def require_two_cores() -> None:
    if not {MEASURED, OTHERS} <= os.sched_getaffinity(0):
        raise TooFewCores(
            f"Cores {OTHERS} and {MEASURED} are needed; this process may use "
            f"{sorted(os.sched_getaffinity(0))}."
        )


def run_with_others() -> None:
    """Let this process, and what it starts from now on, leave the measured core alone."""
    os.sched_setaffinity(0, {OTHERS})


def on_measured(command: list[str]) -> list[str]:
    """The command, on the measured core."""
    return ["taskset", "--cpu-list", str(MEASURED), *command]
