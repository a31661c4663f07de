"""What the numbers have to be, counted in plain dictionaries while the log is written."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest.pageview import PageView

MINUTE_MS, HOUR_S, DAY_S = 60_000, 3_600, 86_400
PAGE = "page"
# What page views are counted by, and the message's field of it.
DIMENSIONS = {
    PAGE: "path",
    "hostname": "hostname",
    "referrer": "referrer",
    "utm_source": "utm_source",
    "utm_medium": "utm_medium",
    "utm_campaign": "utm_campaign",
    "utm_term": "utm_term",
    "utm_content": "utm_content",
    "country": "country",
    "browser": "browser",
    "os": "os",
    "device": "device",
    "screen": "screen",
    "language": "language",
}


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
    # Site, start of the hour (Unix s) → visitors.
    visitors: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, page_view: PageView) -> None:
        self.events += 1
        self.minutes[page_view.site, page_view.ts // MINUTE_MS][page_view.path] += 1
        hour = page_view.ts // 1_000 // HOUR_S * HOUR_S
        for dimension, name in DIMENSIONS.items():
            value = getattr(page_view, name)
            if value is not None:
                self.hours[page_view.site, hour, dimension][value] += 1
        self.visitors[page_view.site, hour].add(page_view.visitor)

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
