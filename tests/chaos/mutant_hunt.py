"""`python -m tests.chaos --mutants`: every planted bug must be caught within a few runs."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

from tests.chaos.mutants import MUTANTS, Mutant
from tests.chaos.report import say
from tests.chaos.schedule import FOLDER, Fault, Schedule, draw
from tests.chaos.session import FAULTY_S, Session

logger = logging.getLogger("chaos")

_MOST_RUNS = 6


def hunt(session: Session, first_seed: int, only: list[str]) -> bool:
    """Whether all were caught. Prints a line for each."""
    say(f"{'mutant':<22} {'caught':<14} {'what is wrong':<58} first deviation")
    names = only or list(MUTANTS)
    caught = sum(_is_caught(session, name, first_seed) for name in names)
    say(f"{caught} of {len(names)} caught")
    return caught == len(names)


def _is_caught(session: Session, name: str, first_seed: int) -> bool:
    mutant = MUTANTS[name]
    for run, schedule in enumerate(islice(_schedules(mutant, first_seed), _MOST_RUNS), 1):
        try:
            deviations = session.play(schedule, name).deviations
        except Exception as error:  # noqa: BLE001  a bug may keep a run from its end
            deviations = [f"the run broke off: {error!r}"]
        if deviations:
            caught = f"in run {run}"
            say(f"{name:<22} {caught:<14} {mutant.says:<58} {deviations[0][:150]}")
            logger.debug("%s, seed %d: %s", name, schedule.seed, "\n    ".join(deviations))
            return True
    say(f"{name:<22} {'NOT CAUGHT':<14} {mutant.says:<58} after {_MOST_RUNS} runs")
    return False


def _schedules(mutant: Mutant, first_seed: int) -> Iterator[Schedule]:
    """Those that hold what the bug needs to show itself."""
    drawn = (draw(seed, FAULTY_S) for seed in count(first_seed))
    if mutant.faults:
        return (_staged(schedule, mutant.faults) for schedule in drawn)
    wanted = Counter(mutant.wants)
    return (
        replace(schedule, remade=mutant.remade) for schedule in drawn if wanted <= _kinds(schedule)
    )


def _staged(schedule: Schedule, faults: tuple[Fault, ...]) -> Schedule:
    """The seed's traffic with these faults and no others."""
    on_disk = any(fault.kind == "disk full" for fault in faults)
    archive = FOLDER if on_disk else schedule.archive
    return Schedule(schedule.seed, archive, faults, silent="")


def _kinds(schedule: Schedule) -> Counter[str]:
    kinds = Counter([f"silent {schedule.silent}"])
    for fault in schedule.faults:
        kinds.update((fault.kind, f"{fault.kind} {fault.target.split('-')[0]}"))
    return kinds
