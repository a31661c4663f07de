"""What the runs say, as a section of RESULTS.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench import machine
from bench.count_protocol import AT_LEAST_ONCE, EXACTLY_ONCE, LOGS, NO_DUPLICATES, SIDES
from bench.results import table
from bench.rounds import Measurement, medians, ratios, spread

Found = Mapping[tuple[str, str], Sequence[Measurement]]

_NOTES = Path(__file__).with_name("notes.md")


def report(found: Found, events: int, rounds: int) -> str:
    head = [
        "consumer", "overhead, time", "overhead, CPU", "events/s", "lowest to highest",
        "CPU s / million", "Valkey CPU s / million",
    ]  # fmt: skip
    tables = [
        f"**Every event {'has' if with_ids else 'lacks'} the sender's id**\n\n"
        f"{table(head, [_row(found, log, side) for side in SIDES])}"
        for log, with_ids in LOGS.items()
    ]
    return "\n\n".join(
        [
            "## What exactly once costs",
            machine.describe(*machine.versions(), f"{events:,} events, median of {rounds} rounds"),
            _verdict(found),
            *tables,
            _notes(),
        ]
    )


def _verdict(found: Found) -> str:
    """The protocol against none, where no ids are to be looked at and where they all are."""
    protocol = _overhead(found, "without-ids", EXACTLY_ONCE, "s per event")
    bare = _overhead(found, "with-ids", NO_DUPLICATES, "s per event")
    ids = _overhead(found, "with-ids", EXACTLY_ONCE, "s per event")
    return (
        f"The protocol takes {protocol:+.1%} time on events without ids and {bare:+.1%} on events "
        "with ids that are not looked at (target: at most 5%). Telling duplicates apart as well: "
        f"{ids:+.1%}."
    )


def _row(found: Found, log: str, side: str) -> list[str]:
    runs = found[log, side]
    middle = medians(runs)
    baseline = side == AT_LEAST_ONCE
    return [
        side,
        "" if baseline else f"{_overhead(found, log, side, 's per event'):+.1%}",
        "" if baseline else f"{_overhead(found, log, side, 'CPU s'):+.1%}",
        f"{middle['events/s']:,.0f}",
        spread(runs, "events/s"),
        f"{middle['CPU s']:.2f}",
        f"{middle['store CPU s']:.2f}",
    ]


def _overhead(found: Found, log: str, side: str, figure: str) -> float:
    return median(ratios(found, (log, side), (log, AT_LEAST_ONCE), figure)) - 1


def _notes() -> str:
    return _NOTES.read_text().format(
        exactly_once=EXACTLY_ONCE, no_duplicates=NO_DUPLICATES, at_least_once=AT_LEAST_ONCE
    )
