"""The visits once more, plainly: one event after the other, nothing of the consumer's code."""

from collections.abc import Iterator
from dataclasses import dataclass

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

_IDLE_MS, _HOUR_MS = 30 * 60_000, 3_600_000
# Events come in the order of their arrival, but for clocks that differ; Redis forgets earlier.
_HOURS_KEPT = 24


@dataclass
class _Visit:
    start: int
    earliest: int
    latest: int
    views: int = 0
    others: int = 0
    entry: str | None = None
    exit: str | None = None

    def add(self, page_view: PageView) -> None:
        if page_view.name == PAGEVIEW:
            self.views += 1
            self.entry = page_view.path if self.entry is None else self.entry
            if self.exit is None or page_view.ts >= self.latest:
                self.exit = page_view.path
        elif page_view.name != ENGAGEMENT:
            self.others += 1
        self.earliest = min(self.earliest, page_view.ts)
        self.latest = max(self.latest, page_view.ts)

    def numbers(self) -> dict[str, int]:
        numbers = {ALL_VISITS: 1, ALL_DURATION: self.latest - self.earliest}
        if (self.views, self.others) == (1, 0):
            numbers[ALL_BOUNCES] = 1
        if self.entry is not None:
            numbers[ENTRY_PAGE.field(self.entry)] = 1
        if self.exit is not None:
            numbers[EXIT_PAGE.field(self.exit)] = 1
        return numbers


class VisitRecount:
    """The rule of SPEC.md §19. Memory grows with the visitors of a day."""

    def __init__(self) -> None:
        # Hour of arrival → (site, visitor) → the visit that was there last.
        self._hours: dict[int, dict[tuple[str, str], _Visit]] = {}

    def add(self, page_view: PageView) -> Iterator[tuple[int, str, int]]:
        """What the next event changes, as (start of the visit in ms, field, change)."""
        visit = self._take(page_view)
        if visit is None and page_view.name == ENGAGEMENT:
            return
        if visit is None:
            visit = _Visit(page_view.ts, page_view.ts, page_view.ts)
            before = {}
        else:
            before = visit.numbers()
        visit.add(page_view)
        self._remember(page_view, visit)
        after = visit.numbers()
        for name in before.keys() | after.keys():
            change = after.get(name, 0) - before.get(name, 0)
            if change:
                yield visit.start, name, change

    def _take(self, page_view: PageView) -> _Visit | None:
        own = page_view.received // _HOUR_MS
        for hour in (own, own - 1, own + 1):
            people = self._hours.get(hour, {})
            visit = people.get((page_view.site, page_view.visitor))
            if visit is not None and (
                visit.earliest - _IDLE_MS <= page_view.ts <= visit.latest + _IDLE_MS
            ):
                return people.pop((page_view.site, page_view.visitor))
        return None

    def _remember(self, page_view: PageView, visit: _Visit) -> None:
        hour = page_view.received // _HOUR_MS
        if hour not in self._hours:
            for old in [known for known in self._hours if known < hour - _HOURS_KEPT]:
                del self._hours[old]
        self._hours.setdefault(hour, {})[page_view.site, page_view.visitor] = visit
