"""Visits: what a visitor does at a site without pausing for 30 minutes. Pure.

The rule (SPEC.md §19) looks at nothing but the events of the one visitor, in the order of the log:
an event goes on with the visit that it finds among those that are remembered, or begins one. A
visit is remembered in the hour of arrival of its last event; an event that arrived in hour n
looks there first, then in n - 1 and n + 1. So it is known without a clock what can still be
found, and a recount of the log decides alike whenever it runs.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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
    Dimension,
)
from processing.keys import SiteKeys

IDLE_MS = 1_800_000
STEP_MS = 3_600_000
# An event of the step after it can still find what a step remembers; an hour more is for clocks
# that differ.
_STEP_KEPT_MS = 3 * STEP_MS


class Visit(msgspec.Struct, array_like=True, gc=False):
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


class Change(msgspec.Struct, gc=False):
    """What a batch changes of one visit. `before`: as it was; None: it began. `entry`: the page
    with which it began, where the batch has it."""

    visit: Visit
    before: Visit | None = None
    entry: str | None = None


def _begin(page_view: PageView) -> Change:
    if page_view.name == PAGEVIEW:
        path = page_view.path
        return Change(Visit(page_view.ts, views=1, exit=path), entry=path)
    return Change(Visit(page_view.ts, events=1))


def count_totals(changes: Sequence[Change]) -> dict[str, int]:
    """What they change of a bucket's totals."""
    before = [change.before for change in changes if change.before is not None]
    visits = [change.visit for change in changes]
    return {
        ALL_VISITS: len(visits) - len(before),
        ALL_BOUNCES: _bounces(visits) - _bounces(before),
        ALL_DURATION: _duration(visits) - _duration(before),
    }


def _bounces(visits: Sequence[Visit]) -> int:
    return len([1 for visit in visits if visit.views == 1 and not visit.events])


def _duration(visits: Sequence[Visit]) -> int:
    return sum([visit.before + visit.after for visit in visits])


def count_pages(changes: Sequence[Change]) -> Counter[str]:
    """What they change of the visits by their first and last page."""
    fields: Counter[str] = Counter()
    _add_pages(fields, ENTRY_PAGE, [change.entry for change in changes], 1)
    moved = [
        change
        for change in changes
        if change.before is None or change.before.exit != change.visit.exit
    ]
    _add_pages(fields, EXIT_PAGE, [change.visit.exit for change in moved], 1)
    left = [change.before.exit for change in moved if change.before is not None]
    _add_pages(fields, EXIT_PAGE, left, -1)
    return fields


def _add_pages(
    fields: Counter[str], dimension: Dimension, pages: Sequence[str | None], sign: int
) -> None:
    prefix = dimension.prefix
    for page, visits in Counter(pages).items():
        if page is not None:
            fields[prefix + page] += sign * visits


@dataclass(slots=True)
class _Step:
    """Visits remembered in one hour of arrival, by visitor: as Redis has them, and as they are
    by now, None where they went on to another step."""

    was: Mapping[str, str]
    now: dict[str, Change | None] = field(default_factory=dict)


class Visits:
    """Goes on with the visits of one site that a batch finds. `known`: per key of `step_keys` and
    visitor, what is remembered in Redis."""

    def __init__(self, keys: SiteKeys, known: Mapping[str, Mapping[str, str]]) -> None:
        self._keys = keys
        self._known = known
        self._steps: dict[int, _Step] = {}
        # By an event's step, where it looks.
        self._places: dict[int, tuple[_Step, ...]] = {}
        self.changes: list[Change] = []

    def add(self, page_view: PageView) -> None:
        """The next event, in the order of the log."""
        places = self._places.get(page_view.received // STEP_MS) or self._places_of(page_view)
        visitor, ts, change = page_view.visitor, page_view.ts, None
        for place in places:
            found = place.now.get(visitor)
            if found is None and place.was.get(visitor):
                found = self._recall(place, visitor)
            if found is not None and found.visit.fits(ts):
                change = found
                if place is not places[0]:
                    place.now[visitor] = None
                break
        if change is None:
            if page_view.name == ENGAGEMENT:
                return
            change = places[0].now[visitor] = _begin(page_view)
            self.changes.append(change)
            return
        places[0].now[visitor] = change
        if page_view.name == PAGEVIEW and not change.visit.views:
            change.entry = page_view.path
        change.visit.add(page_view)

    def _places_of(self, page_view: PageView) -> tuple[_Step, ...]:
        own = page_view.received // STEP_MS
        found = self._places[own] = tuple(map(self._step, neighbours(own)))
        return found

    def _step(self, step: int) -> _Step:
        found = self._steps.get(step)
        if found is None:
            found = self._steps[step] = _Step(self._known.get(self._keys.visits(step), {}))
        return found

    def _recall(self, place: _Step, visitor: str) -> Change | None:
        """What Redis remembers, unless the visit went on elsewhere since."""
        if visitor in place.now:
            return None
        text = place.was[visitor]
        change = place.now[visitor] = Change(_decode(text), _decode(text))
        self.changes.append(change)
        return change

    def memory(self) -> Iterator[tuple[str, int, list[str]]]:
        """Per key, when it may be dropped (ms), and as [visitor, was, is, …] what was found in it
        and what is to be remembered; "": nothing."""
        for step, place in self._steps.items():
            was = place.was
            triples: list[str] = []
            for visitor, change in place.now.items():
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
