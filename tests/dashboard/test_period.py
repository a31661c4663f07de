"""Which days are shown and compared, and how numbers are written."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dashboard.kept import Kept
from dashboard.period import NotAPeriod, Period, Span, chunks, days_text, read_period
from dashboard.wording import change, compact, duration, percent
from processing.history_stats import DAY, HOUR

TODAY = date(2026, 11, 24)
KEPT = Kept(48, 90, None)


def ms(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def read(**query: str) -> Period:
    found = read_period(query, TODAY)
    assert found is not None
    return found


def test_it_is_live_unless_the_address_says_otherwise() -> None:
    assert read_period({}, TODAY) is None
    assert read_period({"period": "live"}, TODAY) is None


@pytest.mark.parametrize(("name", "first"), [("today", 24), ("7d", 18)])
def test_it_reads_what_can_be_clicked(name: str, first: int) -> None:
    found = read(period=name)
    assert (found.first, found.last, found.is_running) == (date(2026, 11, first), TODAY, True)
    assert read_period(found.query, TODAY) == found


def test_it_reads_any_days_and_ends_today() -> None:
    found = read(**{"from": "2026-11-01", "to": "2026-12-31"})
    assert (found.first, found.last) == (date(2026, 11, 1), TODAY)
    assert read_period(found.query, TODAY) == found


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"period": "year"}, "“year” is no period"),
        ({"from": "yesterday"}, "“yesterday” is not a day"),
        ({"from": "2026-11-20", "to": "2026-11-10"}, "2026-11-20 lies after 2026-11-10"),
        ({"from": "2027-01-01", "to": "2027-01-02"}, "has not come yet"),
        ({"from": "2001-01-01"}, "more than 3,660 days"),
    ],
)
def test_it_says_what_is_wrong_with_an_address(query: dict[str, str], said: str) -> None:
    with pytest.raises(NotAPeriod, match=said):
        read_period(query, TODAY)


def test_it_compares_a_day_with_the_day_before_until_the_same_minute() -> None:
    before = read(period="today").before(
        KEPT, "Europe/Berlin", ms("2026-11-24 14:05:59", "Europe/Berlin")
    )
    assert before == Span(
        date(2026, 11, 23), date(2026, 11, 23), ms("2026-11-23 14:05", "Europe/Berlin") // 1000
    )  # fmt: skip


@pytest.mark.parametrize(("clock", "until"), [("14:05", "14:00"), ("14:35", "15:00")])
def test_it_compares_to_the_nearest_hour_where_minutes_are_gone(clock: str, until: str) -> None:
    before = read(period="7d").before(KEPT, "UTC", ms(f"2026-11-24 {clock}"))
    assert before == Span(
        date(2026, 11, 11), date(2026, 11, 17), ms(f"2026-11-17 {until}") // 1000
    )  # fmt: skip


def test_it_compares_whole_days_where_the_period_is_over() -> None:
    found = read(**{"from": "2026-11-10", "to": "2026-11-12"})
    assert found.before(KEPT, "UTC", ms("2026-11-24 12:00")) == Span(
        date(2026, 11, 7), date(2026, 11, 9)
    )  # fmt: skip


def test_it_compares_with_nothing_that_is_not_kept() -> None:
    assert read(period="30d").before(Kept(48, 90, 40), "UTC", ms("2026-11-24 12:00")) is None
    assert read(period="7d").before(Kept(48, 90, 40), "UTC", ms("2026-11-24 12:00")) is not None


def test_it_keeps_its_clock_on_a_day_that_has_25_hours() -> None:
    monday = Period("today", date(2026, 10, 26), date(2026, 10, 26), date(2026, 10, 26))
    before = monday.before(KEPT, "Europe/Berlin", ms("2026-10-26 14:05", "Europe/Berlin"))
    assert before is not None and before.until == ms("2026-10-25 14:05", "Europe/Berlin") // 1000


@pytest.mark.parametrize(
    ("days", "interval", "a_bar"),
    [(1, HOUR, 1), (2, HOUR, 1), (3, DAY, 1), (92, DAY, 1), (93, DAY, 7), (700, DAY, 28),
     (3_660, DAY, 91)],
)  # fmt: skip
def test_its_chart_has_bars_that_can_be_told_apart(days: int, interval: str, a_bar: int) -> None:
    first = TODAY - timedelta(days=days - 1)
    found = Period("custom", first, TODAY, TODAY)
    assert (found.interval(KEPT), found.days_a_bar) == (interval, a_bar)
    assert len(chunks(first, TODAY, found.days_a_bar)) <= 92


def test_it_shows_days_where_hours_are_gone() -> None:
    old = Period("custom", date(2026, 8, 1), date(2026, 8, 1), TODAY)
    assert old.interval(KEPT) == DAY


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (date(2026, 11, 24), date(2026, 11, 24), "24 Nov 2026"),
        (date(2026, 11, 18), date(2026, 11, 24), "18–24 Nov 2026"),
        (date(2026, 10, 26), date(2026, 11, 24), "26 Oct – 24 Nov 2026"),
        (date(2025, 12, 30), date(2026, 1, 2), "30 Dec 2025 – 2 Jan 2026"),
    ],
)
def test_it_names_days_shortly(first: date, last: date, text: str) -> None:
    assert days_text(first, last) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "—"), (0, "0"), (9_999, "9,999"), (10_000, "10.0k"), (12_345, "12.3k"),
     (999_949, "999.9k"), (999_950, "1.0M"), (1_234_567, "1.2M"), (2_500_000_000, "2.5B")],
)  # fmt: skip
def test_it_writes_numbers_as_people_read_them(number: int | None, text: str) -> None:
    assert compact(number) == text


def test_it_writes_rates_and_times() -> None:
    assert [percent(n) for n in (None, 0.0, 0.4, 41.7)] == ["—", "0%", "<1%", "42%"]
    assert [duration(n) for n in (None, 59.9, 134, 7_260)] == ["—", "59 s", "2m 14s", "2h 1m"]


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [(112, 100, "+12%"), (88, 100, "−12%"), (100, 100, "±0%"), (5, 0, ""), (5, None, ""),
     (None, 5, ""), (3_000, 100, "×30")],
)  # fmt: skip
def test_it_writes_changes(now: int | None, before: int | None, text: str) -> None:
    assert change(now, before) == text
