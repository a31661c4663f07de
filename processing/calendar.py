"""Which minute, hour and day of a site a moment belongs to. Pure."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

# Every time zone's offset and every day's border lies on a quarter of an hour.
_QUARTER_MS = 900_000
_day = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class LocalHour(NamedTuple):
    """A quarter of an hour of a site: its day as 20261123, and when its local hour and
    its day begin and end, in Unix seconds."""

    day: int
    hour: int
    day_end: int


@lru_cache(maxsize=65_536)
def _local_hour(time_zone: str, quarter: int) -> LocalHour:
    zone = ZoneInfo(time_zone)
    moment = datetime.fromtimestamp(quarter * 900, zone)
    into_hour = timedelta(minutes=moment.minute, seconds=moment.second)
    return LocalHour(
        day_number(moment.date()),
        round((moment.astimezone(UTC) - into_hour).timestamp()),
        day_start(moment.date() + timedelta(days=1), time_zone),
    )


def local_hour(time_zone: str, ms: int) -> LocalHour:
    """Where the moment `ms` lies for a site in `time_zone` (an IANA name)."""
    return _local_hour(time_zone, ms // _QUARTER_MS)


def day_number(day: date) -> int:
    """20261123 for 23 November 2026."""
    return day.year * 10_000 + day.month * 100 + day.day


def read_day(text: str) -> date:
    """YYYY-MM-DD. Raises `ValueError` saying what is wrong."""
    # `date.fromisoformat` would also take 2026-W09-1.
    if _day.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise ValueError(f"{text!r} is not a day; write YYYY-MM-DD")


def day_start(day: date, time_zone: str) -> int:
    """Unix seconds of the site's midnight."""
    return round(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).timestamp())


def today(time_zone: str, now_ms: int) -> date:
    return datetime.fromtimestamp(now_ms / 1000, ZoneInfo(time_zone)).date()


def days(first: date, last: date) -> list[date]:
    """Every day from `first` to `last`, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def local_hours(day: date, time_zone: str) -> list[int]:
    """When each hour of a site's day begins on its clock, in Unix seconds."""
    start, end = day_start(day, time_zone), day_start(day + timedelta(days=1), time_zone)
    hours = (local_hour(time_zone, second * 1_000).hour for second in range(start, end, 900))
    return list(dict.fromkeys(hours))
