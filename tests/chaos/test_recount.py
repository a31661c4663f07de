"""The recount's own arithmetic, on logs small enough to count by hand."""

import json
from typing import Any

from tests.chaos.recount import Record, recount

NOON = 1_795_521_600_000  # 2026-11-24 12:00 UTC


def record(offset: int, **fields: Any) -> Record:
    event = {"id": f"{offset}", "site": "kathmandu.example", "visitor": "v", "path": "/a",
             "ts": NOON, "received": NOON}  # fmt: skip
    return Record(0, offset, json.dumps(event | fields).encode())


def test_it_counts_copies_once_and_puts_garbage_aside() -> None:
    records = [
        record(0, id="x", retryable=True),
        record(1, id="x", retryable=True, received=NOON + 1),
        Record(0, 2, b"?"),
        record(3, bot="Crawler"),
        record(4, site="utc.example", ts=NOON - 31 * 86_400_000),
    ]
    found = recount(records, 1, {b"?"}, NOON // 1000, None)
    assert found.ledger == {"counted": 1, "duplicate": 1, "invalid": 1, "bot": 1, "late": 1}
    assert found.ends == {0: 5}


def test_it_tells_a_sites_events_by_the_day_of_their_arrival() -> None:
    evening, morning = NOON + 6 * 3_600_000, NOON + 7 * 3_600_000  # 23:45 and 00:45 there
    records = [
        record(0, id="x", retryable=True, received=evening),
        record(1, id="x", retryable=True, received=evening + 1),
        record(2, received=morning),
    ]
    found = recount(records, 1, set(), NOON // 1000, None)
    site = "kathmandu.example"
    assert found.site_days == {
        (site, "20261124", "counted"): [1, 1],
        (site, "20261124", "duplicate"): [1, 1],
        (site, "20261125", "counted"): [1, 1],
        (site, "20261125", "duplicate"): [0, 0],
    }


def test_it_leaves_open_which_copy_of_two_days_was_counted() -> None:
    midnight = NOON + 6 * 3_600_000 + 900_000
    records = [
        record(0, id="x", retryable=True, received=midnight - 1),
        record(1, id="x", retryable=True, received=midnight),
    ]
    found = recount(records, 1, set(), NOON // 1000, None)
    assert {tuple(bounds) for bounds in found.site_days.values()} == {(0, 1)}
    assert len(found.site_days) == 4


def test_it_knows_hours_that_begin_off_the_hour() -> None:
    found = recount([record(0)], 1, set(), NOON // 1000, None)
    buckets = {bucket for _, bucket in found.numbers}
    assert buckets == {"d:20261124", f"m:{NOON // 60_000}", f"h:{NOON // 1000 - 45 * 60}"}


def test_it_follows_redis_about_which_copy_was_counted() -> None:
    records = [
        record(0, id="x", retryable=True, visitor="a"),
        record(1, visitor="a", ts=NOON + 1_800_000, received=NOON + 1_800_000, path="/b"),
        record(2, id="x", retryable=True, visitor="b"),
    ]
    for counted, visits in ((0, 1), (2, 2)):
        noted = {0, 2} - {counted}
        found = recount(records, 1, set(), NOON // 1000, lambda _, place: place[1] in noted)  # noqa: B023
        day = found.numbers["kathmandu.example", "d:20261124"]
        assert (day["*"], day["*v"], day["*o"]) == (2, visits, 2 if visits == 2 else 0)
    found = recount(records, 1, set(), NOON // 1000, lambda _, place: False)
    assert found.contradictions == [[(0, 0), (0, 2)]]
