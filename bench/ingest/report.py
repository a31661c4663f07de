"""What the runs say, as a section of RESULTS.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench import machine
from bench.ingest import tools
from bench.ingest.doors import DOORS, GIN_ACKNOWLEDGED, Door
from bench.ingest.runs import BATCH_EVENTS, FEW, LOAD, MANY, OPEN
from bench.results import table
from bench.rounds import Measurement, medians, ratios, spread

Found = Mapping[Door, Sequence[Measurement]]

_NOTES = Path(__file__).with_name("notes.md")


def report(found: Found, rounds: int, seconds: int) -> str:
    return "\n\n".join(
        [
            "## What a core can take in",
            machine.describe(
                *machine.versions(),
                *tools.versions(),
                f"{seconds} s a load, median of {rounds} rounds",
            ),
            _singles(found),
            _batches(found),
            _tuned(found),
            _notes(),
        ]
    )


def memory_report(door: Door, minutes: Sequence[float]) -> str:
    """`minutes`: the most memory in each minute, in bytes."""
    first, last, most = (value / 2**20 for value in (minutes[0], minutes[-1], max(minutes)))
    return "\n\n".join(
        [
            "## Whether memory grows",
            machine.describe(*machine.versions(), f"{len(minutes)} minutes"),
            f"*{door}*, supervisor and one process, with {MANY:,} connections that send on: "
            f"{first:.0f} MB in the first minute, {last:.0f} MB in the last, at most {most:.0f}.",
        ]
    )


def _singles(found: Found) -> str:
    head = [
        "one event a request", "against Gin", "requests/s", "lowest to highest",
        f"at {FEW}", f"at {MANY:,}", "CPU s / million", "latencies at",
        "p50 ms", "p99 ms", "p99.9 ms", f"MB at {FEW}", f"MB at {MANY:,}", "lost",
    ]  # fmt: skip
    return table(head, [_single(found, door) for door in found])


def _single(found: Found, door: Door) -> list[str]:
    middle = medians(found[door])
    return [
        door.name,
        _against_gin(found, door, "requests/s"),
        f"{middle['requests/s']:,.0f}",
        spread(found[door], "requests/s"),
        f"{middle['requests/s few']:,.0f}",
        f"{middle['requests/s many']:,.0f}",
        f"{middle['CPU s']:.0f}",
        f"{middle['latencies at']:,.0f}/s",
        f"{middle['p50']:.1f}",
        f"{middle['p99']:.1f}",
        f"{middle['p99.9']:.1f}",
        f"{middle['RSS few']:.0f}",
        f"{middle['RSS many']:.0f}",
        f"{middle['lost']:.1%}",
    ]


def _batches(found: Found) -> str:
    head = [f"{BATCH_EVENTS} events a request", "against Gin", "events/s", "CPU s / million"]
    return table(head, [_batch(found, door) for door in found if door.batch])


def _batch(found: Found, door: Door) -> list[str]:
    middle = medians(found[door])
    return [
        door.name,
        _against_gin(found, door, "batch events/s"),
        f"{middle['batch events/s']:,.0f}",
        f"{middle['batch CPU s']:.1f}",
    ]


def _tuned(found: Found) -> str:
    """What the quickest variants were."""
    tuned = {name for door in DOORS for variant in door.variants for name in variant}
    return "Best of the variants tried: " + "; ".join(
        f"{door}: {', '.join(f'{name}={door.settings[name]}' for name in names)}"
        for door in found
        if (names := sorted(tuned & door.settings.keys()))
    )


def _against_gin(found: Found, door: Door, figure: str) -> str:
    gin = next((other for other in found if other.name == GIN_ACKNOWLEDGED.name), None)
    if gin is None:
        return ""
    return f"{median(ratios(found, door, gin, figure)):.2f}"


def _notes() -> str:
    return _NOTES.read_text().format(
        gin=GIN_ACKNOWLEDGED, few=FEW, many=MANY, open=OPEN, load=LOAD, batch=BATCH_EVENTS
    )
