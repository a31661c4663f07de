"""`python -m tests.chaos --mutants`: every planted bug must be caught within a few runs."""

from collections import Counter
from collections.abc import Iterator
from itertools import count, islice

from tests.chaos.mutants import MUTANTS, Mutant
from tests.chaos.report import say
from tests.chaos.schedule import Schedule, draw
from tests.chaos.session import FAULTY_S, Session

_MOST_RUNS = 3


def hunt(session: Session, first_seed: int, only: list[str]) -> bool:
    """Whether all were caught. Prints a line for each."""
    say(f"{'mutant':<22} {'caught':<14} {'what is wrong':<58} first deviation")
    names = only or list(MUTANTS)
    caught = sum(_is_caught(session, name, first_seed) for name in names)
    say(f"{caught} of {len(names)} caught")
    return caught == len(names)


def _is_caught(session: Session, name: str, first_seed: int) -> bool:
    mutant = MUTANTS[name]
    for run, seed in enumerate(islice(_seeds(mutant, first_seed, session.database), _MOST_RUNS), 1):
        try:
            deviations = session.run(seed, name).deviations
        except Exception as error:  # noqa: BLE001  a bug may keep a run from its end
            deviations = [f"the run broke off: {error!r}"]
        if deviations:
            caught = f"in run {run}"
            say(f"{name:<22} {caught:<14} {mutant.says:<58} {deviations[0][:150]}")
            return True
    say(f"{name:<22} {'NOT CAUGHT':<14} {mutant.says:<58} after {_MOST_RUNS} runs")
    return False


def _seeds(mutant: Mutant, first: int, database: str) -> Iterator[int]:
    """Those whose schedule holds the faults that the bug needs to show itself."""
    wanted = Counter(mutant.wants)
    return (seed for seed in count(first) if wanted <= _kinds(draw(seed, FAULTY_S, database)))


def _kinds(schedule: Schedule) -> Counter[str]:
    kinds = Counter([f"silent {schedule.silent}"])
    for fault in schedule.faults:
        kinds.update((fault.kind, f"{fault.kind} {fault.target.split('-')[0]}"))
    return kinds
