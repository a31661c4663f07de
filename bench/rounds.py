"""Sides that are measured in turn, so that a noisy minute hits all of them."""

import sys
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

Measurement = Mapping[str, float]
Side = TypeVar("Side")


def interleave(
    sides: Sequence[Side], rounds: int, measure: Callable[[Side], Measurement]
) -> dict[Side, list[Measurement]]:
    """Measure each side once a round. Even rounds go backwards, so that none is always first."""
    found: dict[Side, list[Measurement]] = {side: [] for side in sides}
    for number in range(1, rounds + 1):
        for side in sides if number % 2 else reversed(sides):
            measurement = measure(side)
            found[side].append(measurement)
            print(f"round {number} of {rounds}  {side}  {_brief(measurement)}", file=sys.stderr)
    return found


def medians(measurements: Sequence[Measurement]) -> dict[str, float]:
    """The median of each figure by itself."""
    return {name: median(m[name] for m in measurements) for name in measurements[0]}


def spread(measurements: Sequence[Measurement], name: str) -> str:
    """Lowest to highest, for the reader who wants to know how noisy it was."""
    values = [measurement[name] for measurement in measurements]
    return f"{min(values):,.0f} to {max(values):,.0f}"


def ratios(
    found: Mapping[Side, Sequence[Measurement]], of: Side, to: Side, name: str
) -> list[float]:
    """Round by round, one side's figure over another's: what noise hits both cancels out."""
    return [a[name] / b[name] for a, b in zip(found[of], found[to], strict=True)]


def _brief(measurement: Measurement) -> str:
    return "  ".join(f"{name} {value:,.3g}" for name, value in measurement.items())
