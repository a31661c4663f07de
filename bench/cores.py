"""Which core runs what: the measured process has one for itself, all others share the other."""

import os

MEASURED, OTHERS = 1, 0
# For a second measured process, where there is a third core; else it shares with the others.
_SECOND = 2


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
    return on_core(MEASURED, command)


def on_core(core: int, command: list[str]) -> list[str]:
    return ["taskset", "--cpu-list", str(core), *command]


def measured_cores(processes: int) -> list[int]:
    """The cores of one or two measured processes, of which the second may have to share."""
    return [MEASURED, _SECOND if has_second() else OTHERS][:processes]


def has_second() -> bool:
    """Whether two measured processes can have a core each."""
    # Not by the affinity, which `run_with_others` has narrowed.
    return (os.cpu_count() or 1) > _SECOND
