"""What the runs say, as a section of RESULTS.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import cores, machine
from bench.count import tools
from bench.count.live import EVENTS_PER_S
from bench.count.subjects import (
    BEGINNING,
    BYTEWAX,
    BYTEWAX_EACH,
    DRAIN,
    GO_EVERY,
    GO_PAGES,
    OURS,
    OURS_PAGES,
    OURS_PAGES_TWICE,
    OURS_TWICE,
    PARTITIONS,
    PATHWAY,
    QUIX,
    Subject,
)
from bench.results import table
from bench.rounds import Measurement, medians, ratios, spread

_NOTES = Path(__file__).with_name("notes.md")
_TARGET_MS = 150
# Events/s of the first over those of the second have to be so much.
_TARGETS = (
    (OURS_PAGES, PATHWAY, 2.5),
    (OURS_PAGES, BYTEWAX, 2.0),
    (OURS_PAGES, BYTEWAX_EACH, 2.0),
    (OURS_PAGES, QUIX, 5.0),
    (OURS_PAGES, GO_PAGES, 1.0),
    (OURS_PAGES, DRAIN, 0.5),
    (OURS, GO_EVERY, 1.0),
    (OURS, DRAIN, 0.22),
    (OURS_TWICE, OURS, 1.8),
    (OURS_PAGES_TWICE, OURS_PAGES, 1.8),
)


@dataclass(frozen=True)
class Found:
    """The measurements of catching up, and those at a steady rate."""

    counts: Mapping[Subject, Sequence[Measurement]]
    live: Mapping[Subject, Sequence[Measurement]]

    def wrong(self) -> list[Subject]:
        return [subject for subject in self.counts if self.wrong_rounds(subject)]

    def wrong_rounds(self, subject: Subject) -> int:
        return round(sum(measurement["wrong"] for measurement in self.counts[subject]))


def report(found: Found, events: int, rounds: int, seconds: int) -> str:
    return "\n\n".join(
        [
            "## Counting",
            machine.describe(
                *machine.versions(),
                *tools.versions(),
                f"{events:,} events, median of {rounds} rounds",
            ),
            _targets(found),
            _counts(found),
            _live(found, seconds),
            _notes(events),
        ]
    )


def _targets(found: Found) -> str:
    head = ["events/s", "ratio", "lowest to highest", "target", "CPU, other way round"]
    rows = [
        _target(found, one, other, target)
        for one, other, target in _TARGETS
        if one in found.counts and other in found.counts
    ]
    return table(head, rows)


def _target(found: Found, one: Subject, other: Subject, target: float) -> list[str]:
    rates = ratios(found.counts, one, other, "events/s")
    cpu = ratios(found.counts, other, one, "CPU s")
    return [
        f"{one} / {other}",
        f"{median(rates):.2f}",
        f"{min(rates):.2f} to {max(rates):.2f}",
        f"{target:g}: {'reached' if median(rates) >= target else 'missed'}",
        f"{median(cpu):.2f}",
    ]


def _counts(found: Found) -> str:
    head = [
        "", "against ours", "events/s and core", "lowest to highest", "CPU s / million",
        "Valkey CPU s / million", "MB", "numbers", "what it counts",
    ]  # fmt: skip
    return table(head, [_count(found, subject) for subject in found.counts])


def _count(found: Found, subject: Subject) -> list[str]:
    per_core = [
        {**measurement, "events/s": measurement["events/s"] / subject.consumers}
        for measurement in found.counts[subject]
    ]
    middle = medians(per_core)
    wrong = found.wrong_rounds(subject)
    return [
        subject.name,
        _against_ours(found, subject),
        f"{middle['events/s']:,.0f}",
        spread(per_core, "events/s"),
        f"{middle['CPU s']:.2f}",
        f"{middle['store CPU s']:.2f}",
        f"{middle['MB']:,.0f}",
        f"**wrong in {wrong} of {len(per_core)} rounds**" if wrong else "right",
        subject.counts,
    ]


def _against_ours(found: Found, subject: Subject) -> str:
    """Of all its cores together."""
    if OURS not in found.counts:
        return ""
    return f"{median(ratios(found.counts, subject, OURS, 'events/s')):.2f}"


def _live(found: Found, seconds: int) -> str:
    head = [
        f"{EVENTS_PER_S:,} events/s for {seconds} s, from the ack to the number in Redis",
        "p50 ms", "p99 ms", "longest ms", f"target: p99 of {_TARGET_MS} ms",
    ]  # fmt: skip
    rows = []
    for subject, measurements in found.live.items():
        middle = medians(measurements)
        reached = "reached" if middle["p99"] <= _TARGET_MS else "missed"
        times = [f"{middle[name]:.0f}" for name in ("p50", "p99", "most")]
        rows.append([subject.name, *times, reached if subject == OURS else ""])
    return table(head, rows)


def _notes(events: int) -> str:
    shares = (
        "each consumer has a core of its own"
        if cores.has_second()
        else "this machine has no third core, so the second shares its own with broker and store"
    )
    return _NOTES.read_text().format(
        partitions=PARTITIONS, beginning=f"{round(BEGINNING.share * events):,}", shares=shares
    )
