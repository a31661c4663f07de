"""What a session says while it goes on and at its end."""

import sys
import time
from collections import Counter
from statistics import quantiles
from typing import Any

from tests.chaos.session import Result, Session


class Report:
    """Adds up results and prints them."""

    def __init__(self, seed: int, database: str) -> None:
        self._seed = seed
        self._database = database
        self._results: list[Result] = []
        self._begun = time.monotonic()

    @property
    def failed(self) -> bool:
        return any(result.deviations for result in self._results)

    def begin(self, session: Session) -> None:
        say(f"Chaos with seed {self._seed}: 3 brokers, 2 Redis, S3, a folder "
            f"and {self._database} are up after "
            f"{time.monotonic() - self._begun:.0f} s.")  # fmt: skip

    def add(self, result: Result) -> None:
        self._results.append(result)
        faults = ", ".join(f"{kind} x {n}" if n > 1 else kind for kind, n in result.faults.items())
        verdict = "FAILED" if result.deviations else "ok"
        say(f"seed {result.seed}: {verdict}, {result.events['sent']} events, "
            f"{result.events['acked']} acknowledged, counted {_seconds(result.recovery_s)} and "
            f"archived {_seconds(result.archived_s)} after healing; {faults}")  # fmt: skip
        for deviation in result.deviations:
            say(f"    {deviation}")

    def end(self) -> None:
        results = self._results
        events = _sum(result.events for result in results)
        found = Counter(d.split(":")[0] for r in results for d in r.deviations)
        lines = {
            "runs": f"{len(results)} in {time.monotonic() - self._begun:.0f} s, seeds "
            f"{results[0].seed} to {results[-1].seed}"
            if results
            else "none",
            "faults": _listed(_sum(result.faults for result in results)),
            "answers": _listed(_sum(result.statuses for result in results)),
            "events": _listed(events),
            "lost": str(found["LOST"]),
            "doubled or invented": str(found["DOUBLED"] + found["INVENTED"]),
            "deviations": _listed(found) or "none",
            "counters sampled": f"{sum(r.samples for r in results)} times",
            "counted after healing": _quantiles([r.recovery_s for r in results]),
            "archived after healing": _quantiles([r.archived_s for r in results]),
        }
        for name, value in lines.items():
            say(f"{name:<24} {value}")
        for reason, n in Counter(s for r in results for s in r.skipped).items():
            say(f"{'not done':<24} {reason}" + (f" (x {n})" if n > 1 else ""))
        for result in results:
            if result.deviations:
                say(f"again with: make chaos SEED={result.seed} RUNS=1 DATABASE={self._database}   "
                    f"(logs: .data/chaos/{result.seed}/)")  # fmt: skip


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _sum(counters: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counter.most_common())


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def _quantiles(values: list[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    if len(known) < 2:
        return ", ".join(f"{value:.1f} s" for value in known) or "never"
    cuts = quantiles(known, n=100, method="inclusive")
    return f"p50 {cuts[49]:.1f} s, p99 {cuts[98]:.1f} s"
