from datetime import UTC, date, datetime

import pytest

from processing.calendar import day_start, days, local_hour, today


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "moment", "day", "hour"),
    [
        ("UTC", "2026-11-23T23:59:59Z", 20261123, "2026-11-23T23:00:00Z"),
        ("Europe/Berlin", "2026-11-23T23:00:00Z", 20261124, "2026-11-23T23:00:00Z"),
        ("America/New_York", "2026-11-24T04:59:59Z", 20261123, "2026-11-24T04:00:00Z"),
        ("Asia/Kolkata", "2026-11-23T18:29:59Z", 20261123, "2026-11-23T17:30:00Z"),
        ("Asia/Kathmandu", "2026-11-23T18:15:00Z", 20261124, "2026-11-23T18:15:00Z"),
        # The hour that an autumn night has twice is two hours.
        ("Europe/Berlin", "2026-10-25T00:30:00Z", 20261025, "2026-10-25T00:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:30:00Z", 20261025, "2026-10-25T01:00:00Z"),
    ],
)
def test_it_puts_a_moment_into_the_sites_day_and_hour(
    zone: str, moment: str, day: int, hour: str
) -> None:
    local = local_hour(zone, ms(moment))
    assert (local.day, local.hour * 1000) == (day, ms(hour))


def test_it_ends_a_day_at_the_next_midnight() -> None:
    long_day = local_hour("Europe/Berlin", ms("2026-10-25T12:00:00Z"))
    assert long_day.day_end - day_start(date(2026, 10, 25), "Europe/Berlin") == 25 * 3_600


def test_it_lists_days_and_knows_today() -> None:
    assert days(date(2026, 2, 27), date(2026, 3, 1)) == [
        date(2026, 2, 27),
        date(2026, 2, 28),
        date(2026, 3, 1),
    ]
    assert today("Pacific/Auckland", ms("2026-11-23T12:00:00Z")) == date(2026, 11, 24)
    assert datetime.now(UTC).date() == today("UTC", int(datetime.now(UTC).timestamp() * 1000))
