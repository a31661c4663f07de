"""Which days the site's page is asked for, and with which before them it compares. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from dashboard.kept import Kept
from processing.calendar import days, local_hour, read_day
from processing.history_stats import DAY, HOUR

LIVE, CUSTOM = "live", "custom"
# The last so many days, today among them.
PRESETS = {"today": 1, "7d": 7, "30d": 30}
MOST_DAYS = 3_660
_HOURLY_DAYS = 2
# A bar is of a day, or of so many that a chart has no more bars than that.
DAYS_A_BAR = {1: "a day", 7: "a week", 28: "in four weeks", 91: "in 13 weeks"}
_MOST_BARS = 92
_HALF_HOUR = 1_800


class NotAPeriod(ValueError):
    """Raised saying what is wrong with the address."""


@dataclass(frozen=True)
class Span:
    """Days, both included; of the last one what is before `until`, Unix seconds."""

    first: date
    last: date
    until: int | None = None


@dataclass(frozen=True)
class Period:
    """Days of a site, both included, as people asked for them on `today`."""

    name: str
    first: date
    last: date
    today: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def is_running(self) -> bool:
        return self.last == self.today

    @property
    def query(self) -> dict[str, str]:
        """What the page's address says of it."""
        if self.name != CUSTOM:
            return {"period": self.name}
        return {"from": str(self.first), "to": str(self.last)}

    def interval(self, kept: Kept) -> str:
        """What a bar of the chart is counted by."""
        hourly = self.days <= _HOURLY_DAYS and kept.has_hours_of(self.first, self.today)
        return HOUR if hourly else DAY

    @property
    def days_a_bar(self) -> int:
        return next(size for size in DAYS_A_BAR if self.days <= _MOST_BARS * size)

    def before(self, kept: Kept, time_zone: str, now_ms: int) -> Span | None:
        """As many days just before; where the period is still running, up to the same moment, as
        far as that is kept. None: not all of them are kept."""
        first, last = (day - timedelta(days=self.days) for day in (self.first, self.last))
        if not kept.has_day(first, self.today):
            return None
        if not self.is_running or not kept.has_hours_of(last, self.today):
            return Span(first, last)
        return Span(first, last, _same_moment(last, kept, time_zone, now_ms))


def running_day(today: date) -> Period:
    return Period("today", today, today, today)


def read_period(query: Mapping[str, str], today: date) -> Period | None:
    """As the address says; None: live. Raises `NotAPeriod`."""
    name = query.get("period") or LIVE
    if query.get("from") or query.get("to"):
        return _custom(query, today)
    if name == LIVE:
        return None
    if name not in PRESETS:
        raise NotAPeriod(f"“{name}” is no period; choose one of those above.")
    return Period(name, today - timedelta(days=PRESETS[name] - 1), today, today)


def _custom(query: Mapping[str, str], today: date) -> Period:
    last = _day(query.get("to") or str(today))
    first = _day(query.get("from") or str(last))
    if first > last:
        raise NotAPeriod(f"{first} lies after {last}; choose the earlier day first.")
    if first > today:
        raise NotAPeriod(f"{first} has not come yet; choose a day until {today}.")
    if (last - first).days >= MOST_DAYS:
        raise NotAPeriod(f"That is more than {MOST_DAYS:,} days; choose less.")
    return Period(CUSTOM, first, min(last, today), today)


def _day(text: str) -> date:
    try:
        return read_day(text)
    except ValueError:
        raise NotAPeriod(f"“{text}” is not a day; write one such as 2026-11-23.") from None


def _same_moment(day: date, kept: Kept, time_zone: str, now_ms: int) -> int:
    """When the clock at the site showed on that day what it shows now: to the minute where
    minutes are kept, else to the hour, the nearest one."""
    zone = ZoneInfo(time_zone)
    clock = datetime.fromtimestamp(now_ms / 1000, zone).time().replace(second=0, microsecond=0)
    moment = round(datetime.combine(day, clock, zone).timestamp())
    hour = local_hour(time_zone, moment * 1000).hour
    if kept.has_minutes_since(hour, now_ms // 1000):
        return moment
    return hour if moment - hour < _HALF_HOUR else hour + 2 * _HALF_HOUR


def days_text(first: date, last: date) -> str:
    """Such as “23 Nov 2026”, “17–23 Nov 2026” or “28 Oct – 3 Nov 2026”."""
    if first == last:
        return f"{first.day} {first:%b %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{last.day} {last:%b %Y}"
    year = f" {first.year}" if first.year != last.year else ""
    return f"{first.day} {first:%b}{year} – {last.day} {last:%b %Y}"


def chunks(first: date, last: date, size: int) -> list[list[date]]:
    """The days in order, so many at a time."""
    every = days(first, last)
    return [every[n : n + size] for n in range(0, len(every), size)]
