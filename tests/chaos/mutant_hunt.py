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
    say(f"{'mutant':<22} {'caught':<22} {'what is wrong':<58} first deviation")
    names = only or list(MUTANTS)
    caught = sum(_is_caught(session, name, first_seed) for name in names)
    say(f"{caught} of {len(names)} caught")
    return caught == len(names)


def _is_caught(session: Session, name: str, first_seed: int) -> bool:
    """It is when a run shows something that the same run without the bug does not."""
    mutant = MUTANTS[name]
    for run, schedule in enumerate(
        islice(_schedules(mutant, first_seed, session.database), _MOST_RUNS), 1
    ):
        if not (found := _deviations(session, schedule, name)):
            continue
        if innocent := _deviations(session, schedule):
            _tell(name, "WITHOUT IT, TOO", innocent[0])
            return False
        _tell(name, f"in run {run}, seed {schedule.seed}", found[0])
        return True
    _tell(name, "NOT CAUGHT", f"after {_MOST_RUNS} runs")
    return False


def _deviations(session: Session, schedule: Schedule, name: str = "") -> list[str]:
    """What the product did wrong. A run that breaks off shows nothing: that may as well be the
    harness, or a bug that is no longer planted as it should."""
    try:
        found = session.play(schedule, name).deviations
    except Exception:
        logger.exception("Seed %d, %s: the run broke off.", schedule.seed, name or "no bug")
        return []
    found = [deviation for deviation in found if not deviation.startswith("HARNESS")]
    logger.debug("%s", "\n    ".join([f"Seed {schedule.seed}, {name or 'no bug'}:", *found]))
    return found


def _tell(name: str, caught: str, what: str) -> None:
    say(f"{name:<22} {caught:<22} {MUTANTS[name].says:<58} {what[:150]}")


def _schedules(mutant: Mutant, first_seed: int, database: str) -> Iterator[Schedule]:
    """Those that hold what the bug needs to show itself."""
    wanted = Counter(mutant.wants)
    for schedule in (draw(seed, FAULTY_S, database) for seed in count(first_seed)):
        if mutant.faults:
            yield _staged(schedule, mutant.faults)
        elif wanted <= _kinds(schedule):
            yield replace(schedule, remade=mutant.remade)


def _staged(schedule: Schedule, faults: tuple[Fault, ...]) -> Schedule:
    """The seed's traffic with these faults and no others."""
    on_disk = any(fault.kind == "disk full" for fault in faults)
    archive = FOLDER if on_disk else schedule.archive
    return replace(schedule, archive=archive, faults=faults, silent="", rebuild="", remade=False)


def _kinds(schedule: Schedule) -> Counter[str]:
    kinds = Counter([f"silent {schedule.silent}"])
    for fault in schedule.faults:
        kinds.update((fault.kind, f"{fault.kind} {fault.target.split('-')[0]}"))
    return kinds
