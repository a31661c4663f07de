"""Visits, counted by hand: when they begin and end, what they change, what is remembered."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.pageview import PageView
from processing.keys import SiteKeys
from processing.recount_visits import VisitRecount
from processing.visits import STEP_MS, Visits, count_pages, count_totals
from tests import reference

MINUTE_MS = 60_000
NOON = round(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp() * 1000)
KEYS = SiteKeys("a.example", 1)


def view(minute: float, path: str = "/a", visitor: str = "v", **fields: Any) -> PageView:
    """What happened so many minutes after noon, and arrived at once."""
    ts = NOON + round(minute * MINUTE_MS)
    values: dict[str, Any] = {"id": "x", "site": "a.example", "ts": ts, "received": ts}
    return PageView(path=path, visitor=visitor, **(values | fields))


def counted(*batches: list[PageView]) -> dict[str, int]:
    """All that these batches change, one after the other, each knowing what the last one left."""
    known: dict[str, dict[str, str]] = {}
    total: dict[str, int] = {}
    for batch in batches:
        visits = Visits(KEYS, known)
        for page_view in batch:
            visits.add(page_view)
        changes = {**count_totals(visits.changes), **count_pages(visits.changes)}
        for field, change in changes.items():
            total[field] = total.get(field, 0) + change
        for key, _, triples in visits.memory():
            of_step = known.setdefault(key, {})
            for visitor, _, now in zip(*[iter(triples)] * 3, strict=True):
                of_step.pop(visitor, None)
                if now:
                    of_step[visitor] = now
    return {field: number for field, number in total.items() if number}


SIGNUP = {"name": "signup"}
CASES: list[tuple[list[PageView], dict[str, int]]] = [
    # One page view, nothing else: a bounce.
    ([view(0)], {"*v": 1, "*o": 1, "</a": 1, ">/a": 1}),
    # A second page view, of the same page too, ends that.
    ([view(0), view(2)], {"*v": 1, "*d": 120_000, "</a": 1, ">/a": 1}),
    ([view(0), view(2, "/b")], {"*v": 1, "*d": 120_000, "</a": 1, ">/b": 1}),
    # So does a custom event, which enters and leaves no page.
    ([view(0), view(1, "/b", **SIGNUP)], {"*v": 1, "*d": 60_000, "</a": 1, ">/a": 1}),
    ([view(0, **SIGNUP)], {"*v": 1}),
    ([view(0, **SIGNUP), view(1, "/b")], {"*v": 1, "*d": 60_000, "</b": 1, ">/b": 1}),
    # Thirty minutes are a pause, a millisecond more is another visit.
    ([view(0), view(30)], {"*v": 1, "*d": 1_800_000, "</a": 1, ">/a": 1}),
    ([view(0), view(30 + 1 / MINUTE_MS)], {"*v": 2, "*o": 2, "</a": 2, ">/a": 2}),
    # It goes on for as long as nobody pauses, over hours.
    ([view(25 * n) for n in range(9)], {"*v": 1, "*d": 12_000_000, "</a": 1, ">/a": 1}),
    # Reading on makes a visit longer and is nothing else, and none where there was none.
    ([view(0), view(3, name="engagement")], {"*v": 1, "*o": 1, "*d": 180_000, "</a": 1, ">/a": 1}),
    ([view(0, name="engagement")], {}),
    # Two visitors.
    ([view(0), view(1, visitor="w")], {"*v": 2, "*o": 2, "</a": 2, ">/a": 2}),
    # What happened earlier belongs to it too, but is not the page it was left from.
    ([view(9, "/b"), view(2, "/a")], {"*v": 1, "*d": 420_000, "</b": 1, ">/b": 1}),
    ([view(0, received=NOON + 5 * STEP_MS), view(1)], {"*v": 2, "*o": 2, "</a": 2, ">/a": 2}),
    # What arrived two hours of arrival later finds nothing that is remembered.
    (
        [view(0), view(1, received=(NOON // STEP_MS + 2) * STEP_MS)],
        {"*v": 2, "*o": 2, "</a": 2, ">/a": 2},
    ),
    (
        [view(0), view(1, received=(NOON // STEP_MS + 2) * STEP_MS - 1)],
        {"*v": 1, "*d": 60_000, "</a": 1, ">/a": 1},
    ),
    # What happened at another time and is sent in between is a visit, and ends the one before.
    (
        [view(0), view(-600, "/old", received=NOON), view(1)],
        {"*v": 3, "*o": 3, "</a": 2, ">/a": 2, "</old": 1, ">/old": 1},
    ),
]


@pytest.mark.parametrize(("events", "changes"), CASES)
def test_it_counts_visits(events: list[PageView], changes: dict[str, int]) -> None:
    assert counted(events) == changes
    one_by_one = [[event] for event in events]
    assert counted(*one_by_one) == changes


@pytest.mark.parametrize(("events", "changes"), CASES)
def test_the_recount_counts_the_same(events: list[PageView], changes: dict[str, int]) -> None:
    recount, total = VisitRecount(), dict.fromkeys(changes, 0)
    for event in events:
        for _, field, change in recount.add(event):
            total[field] = total.get(field, 0) + change
    assert {field: number for field, number in total.items() if number} == changes


def test_a_visit_lies_where_its_first_event_that_was_read_lies() -> None:
    visits = Visits(KEYS, {})
    for event in (view(5), view(1), view(40, visitor="w")):
        visits.add(event)
    assert [change.visit.start for change in visits.changes] == [
        NOON + 5 * MINUTE_MS,
        NOON + 40 * MINUTE_MS,
    ]


def test_it_remembers_a_visit_in_one_place() -> None:
    """In the hour of arrival of its last event, for three hours by arrival."""
    visits = Visits(KEYS, {})
    visits.add(view(50))
    ((key, end, _),) = [entry for entry in visits.memory() if entry[2][2]]
    assert (key, end) == (KEYS.visits(NOON // STEP_MS), NOON + 3 * STEP_MS)
    (was,) = [text for _, _, (_, _, text) in visits.memory() if text]
    visits = Visits(KEYS, {key: {"v": was}})
    visits.add(view(70))
    memory = {key: triples for key, _, triples in visits.memory()}
    assert memory[key] == ["v", was, ""]
    assert memory[KEYS.visits(NOON // STEP_MS + 1)][:2] == ["v", ""]


def test_the_reference_tells_visits_apart() -> None:
    """The one of the property tests and the chaos runs, on a case counted by hand."""
    events = [
        {"visitor": "v", "path": path, "ts": NOON + ms, "received": NOON + ms}
        for ms, path in ((0, "/a"), (60_000, "/b"), (1_860_001, "/c"))
    ]
    numbers = reference.count(events, [{**events[0], "bot": "crawler"}], "UTC")
    day = reference.without_zeros(numbers["d:20261124"])
    assert day == {
        "*": 3, "*b": 1, "*v": 2, "*o": 1, "*d": 60_000, "/a": 1, "/b": 1, "/c": 1, "#/a": 1,
        "?crawler": 1, "</a": 1, "</c": 1, ">/b": 1, ">/c": 1,
    }  # fmt: skip
