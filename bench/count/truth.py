"""What the numbers have to be, counted in plain dictionaries while the log is written."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from sys import intern

from ingest.pageview import PageView

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
SECOND = "@"
PAGE = "page"
# What page views are counted by: the message's fields of which each is a value, two for a version.
DIMENSIONS = {
    PAGE: ("path",),
    **{
        name: (name,)
        for name in (
            "hostname", "referrer", "source", "channel",
            "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content",
            "country", "region", "browser", "os", "device", "screen", "screen_class",
            "language", "time_zone",
        )
    },
    "browser_version": ("browser", "browser_version"),
    "os_version": ("os", "os_version"),
}  # fmt: skip


@dataclass
class Truth:
    """Of one log, in which every event is a page view of a person and none is a duplicate."""

    events: int = 0
    # Site, minute (minutes since 1970) → page views by path.
    minutes: dict[tuple[str, int], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    # Site, start of the hour (Unix s), dimension → page views by value.
    hours: dict[tuple[str, int, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    # Site, start of the minute or of the hour (Unix s) → visitors.
    visitors_by_minute: dict[tuple[str, int], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )
    visitors: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    # Site, start of UTC's day (Unix s), path → visitors.
    page_visitors: dict[tuple[str, int, str], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )
    # Site, minute of arrival → page views by path, and by second of the minute.
    live: dict[tuple[str, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, page_view: PageView) -> None:
        self.events += 1
        # One of each, as some million page views are held.
        site, path, visitor = page_view.site, page_view.path, intern(page_view.visitor)
        at = page_view.ts // 1_000
        minute, hour, day = (at // length * length for length in (MINUTE_S, HOUR_S, DAY_S))
        self.minutes[site, minute // MINUTE_S][path] += 1
        for dimension, names in DIMENSIONS.items():
            values = [getattr(page_view, name) for name in names]
            if None not in values:
                self.hours[site, hour, dimension][" ".join(values)] += 1
        self.visitors_by_minute[site, minute].add(visitor)
        self.visitors[site, hour].add(visitor)
        self.page_visitors[site, day, path].add(visitor)
        live_minute, second = divmod(page_view.received // 1_000, MINUTE_S)
        self.live[site, live_minute].update((path, f"{SECOND}{second:02d}"))

    def days(self) -> Iterator[tuple[tuple[str, int, str], Counter[str]]]:
        """As `hours`, by UTC's days."""
        days: dict[tuple[str, int, str], Counter[str]] = defaultdict(Counter)
        for (site, hour, dimension), counts in self.hours.items():
            days[site, hour // DAY_S * DAY_S, dimension] += counts
        yield from days.items()

    def visitors_by_day(self) -> Iterator[tuple[tuple[str, int], set[str]]]:
        days: dict[tuple[str, int], set[str]] = defaultdict(set)
        for (site, hour), visitors in self.visitors.items():
            days[site, hour // DAY_S * DAY_S] |= visitors
        yield from days.items()
