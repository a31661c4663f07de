"""Visits: what a visitor does at a site without pausing for 30 minutes. Pure.

The rule (SPEC.md §19) looks at nothing but the events of the one visitor, in the order of the log:
an event goes on with the visit that it finds among those that are remembered, or begins one. A
visit is remembered in the hour of arrival of its last event; an event that arrived in hour n
looks there first, then in n - 1 and n + 1. So it is known without a clock what can still be
found, and a recount of the log decides alike whenever it runs.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from ingest.pageview import PageView
from processing.dimensions import (
    ALL_BOUNCES,
    ALL_DURATION,
    ALL_VISITS,
    ENGAGEMENT,
    ENTRY_PAGE,
    EXIT_PAGE,
    PAGEVIEW,
)
from processing.keys import SiteKeys

IDLE_MS = 1_800_000
STEP_MS = 3_600_000
# An event of the step after it can still find what a step remembers; an hour more is for clocks
# that differ.
_STEP_KEPT_MS = 3 * STEP_MS


class Visit(msgspec.Struct, array_like=True):
    """As it lies in Redis, in JSON. Times in ms: `start` is when the event happened that was read
    first, where the visit is counted; the earliest event lies `before` it, the latest `after`.

    `views` 2 stands for more, `events` 1 for any that is no page view.
    """

    start: int
    before: int = 0
    after: int = 0
    views: int = 0
    events: int = 0
    exit: str | None = None

    @property
    def duration(self) -> int:
        return self.before + self.after

    @property
    def is_bounce(self) -> bool:
        return self.views == 1 and not self.events

    def fits(self, ts: int) -> bool:
        """Whether an event at `ts` goes on with this visit."""
        return -self.before - IDLE_MS <= ts - self.start <= self.after + IDLE_MS

    def add(self, page_view: PageView) -> None:
        later = page_view.ts - self.start
        if page_view.name == PAGEVIEW:
            if self.exit is None or later >= self.after:
                self.exit = page_view.path
            self.views = min(self.views + 1, 2)
        elif page_view.name != ENGAGEMENT:
            self.events = 1
        if later > self.after:
            self.after = later
        elif -later > self.before:
            self.before = -later


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(Visit).decode


@dataclass(slots=True)
class Change:
    """What a batch changes of one visit. `before`: as it was; None: it began. `entry`: the page
    with which it began, where the batch has it."""

    visit: Visit
    before: Visit | None
    entry: str | None = None


def count_totals(changes: Sequence[Change]) -> dict[str, int]:
    """What they change of a bucket's totals."""
    visits = bounces = duration = 0
    for change in changes:
        before, visit = change.before, change.visit
        bounces += visit.is_bounce
        duration += visit.duration
        if before is None:
            visits += 1
        else:
            bounces -= before.is_bounce
            duration -= before.duration
    return {ALL_VISITS: visits, ALL_BOUNCES: bounces, ALL_DURATION: duration}


def count_pages(changes: Sequence[Change]) -> Counter[str]:
    """What they change of the visits by their first and last page."""
    fields: Counter[str] = Counter()
    for change in changes:
        if change.entry is not None:
            fields[ENTRY_PAGE.prefix + change.entry] += 1
        gone = change.before.exit if change.before else None
        come = change.visit.exit
        if gone != come:
            if gone is not None:
                fields[EXIT_PAGE.prefix + gone] -= 1
            if come is not None:
                fields[EXIT_PAGE.prefix + come] += 1
    return fields


class Visits:
    """Goes on with the visits of one site that a batch finds. `known`: per key of `step_keys` and
    visitor, what is remembered in Redis."""

    def __init__(self, keys: SiteKeys, known: Mapping[str, Mapping[str, str]]) -> None:
        self._keys = keys
        self._known = known
        # By step and visitor: as it was, and as it is by now.
        self._was: dict[int, Mapping[str, str]] = {}
        self._remembered: dict[int, dict[str, Change | None]] = {}
        self.changes: list[Change] = []

    def add(self, page_view: PageView) -> None:
        """The next event, in the order of the log."""
        own, visitor, ts = page_view.received // STEP_MS, page_view.visitor, page_view.ts
        change = None
        for step in neighbours(own):
            found = self._find(step, visitor)
            if found is not None and found.visit.fits(ts):
                change = found
                if step != own:
                    self._remembered[step][visitor] = None
                break
        if change is None:
            if page_view.name == ENGAGEMENT:
                return
            change = Change(Visit(ts), before=None)
            self.changes.append(change)
        self._remembered[own][visitor] = change
        if page_view.name == PAGEVIEW and not change.visit.views:
            change.entry = page_view.path
        change.visit.add(page_view)

    def _find(self, step: int, visitor: str) -> Change | None:
        remembered = self._remembered.get(step)
        if remembered is None:
            remembered = self._remembered[step] = {}
            self._was[step] = self._known.get(self._keys.visits(step), {})
        if visitor in remembered:
            return remembered[visitor]
        text = self._was[step].get(visitor)
        if text is None:
            return None
        change = remembered[visitor] = Change(_decode(text), before=_decode(text))
        self.changes.append(change)
        return change

    def memory(self) -> Iterator[tuple[str, int, list[str]]]:
        """Per key, when it may be dropped (ms), and as [visitor, was, is, …] what was found in it
        and what is to be remembered; "": nothing."""
        for step, remembered in self._remembered.items():
            was = self._was[step]
            triples: list[str] = []
            for visitor, change in remembered.items():
                now = _encode(change.visit).decode() if change else ""
                triples += (visitor, was.get(visitor, ""), now)
            if triples:
                yield self._keys.visits(step), step_end(step), triples


def step_end(step: int) -> int:
    """When, by the arrival of what is read, nothing can find what the step remembers, in ms."""
    return step * STEP_MS + _STEP_KEPT_MS


def neighbours(step: int) -> tuple[int, int, int]:
    """Every step in which a visit may be remembered that an event of `step` goes on with."""
    return step, step - 1, step + 1
