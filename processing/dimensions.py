"""By what page views, visits and events are told apart, and how that is named in Redis. Pure.

A bucket of history is one hash. Each of its fields is a total, or a value of a dimension: one
character that stands for the dimension, then the value. The page needs none, as a path begins
with "/". One hash instead of one a dimension, because a key takes as much memory as ten values.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from ingest.pageview import PageView

PAGEVIEW = "pageview"
# How long and how far a page was read, as its script tells when it is left: no event of its own,
# it only lengthens the visit.
ENGAGEMENT = "engagement"
PAGEVIEWS, VISITS, EVENTS, BOTS = "pageviews", "visits", "events", "bots"

# Totals of a bucket. `ALL_DURATION` is in milliseconds.
ALL = "*"
ALL_BOTS, ALL_VISITS, ALL_BOUNCES, ALL_DURATION = "*b", "*v", "*o", "*d"
# Seconds of a live minute.
SECOND = "@"
# Of a dimension with more values than are kept: `OTHER` and its character, events of all others.
# `MOST_MISSED` and its character, or `MISSED` and a value's field: how many events a value may
# have had before it was kept. `MOST_MISSED` alone: how long the hash may get.
OTHER, MOST_MISSED, MISSED = "~", "^", "!"
_NO_VALUES = frozenset((ALL, SECOND, OTHER, MOST_MISSED, MISSED))


@dataclass(frozen=True)
class Dimension:
    """`name` as the API has it, `prefix` as Redis has it; `metric`: what is counted by it."""

    name: str
    prefix: str
    metric: str = PAGEVIEWS

    def field(self, value: str) -> str:
        return value if self is PAGE else self.prefix + value

    def value(self, field: str) -> str:
        return field if self is PAGE else field[1:]


PAGE = Dimension("page", "/")
ENTRY_PAGE, EXIT_PAGE = Dimension("entry_page", "<", VISITS), Dimension("exit_page", ">", VISITS)
EVENT = Dimension("event", "e", EVENTS)
# Names of custom properties, and `<name>\0<value>`.
PROPERTY, PROPERTY_VALUE = Dimension("prop", "k", EVENTS), Dimension("", "p", EVENTS)
# Page views of bots, beside those of people: by path, and by what gave them away.
BOT_PAGE, BOT_REASON = Dimension("bot_page", "#", BOTS), Dimension("bot_reason", "?", BOTS)
# What a page view says of itself: fields of the message.
_SIMPLE = {
    "hostname": "h",
    "referrer": "r",
    "source": "S",
    "channel": "c",
    "utm_source": "s",
    "utm_medium": "m",
    "utm_campaign": "a",
    "utm_term": "t",
    "utm_content": "x",
    "country": "C",
    "region": "R",
    "browser": "b",
    "os": "o",
    "device": "d",
    "screen": "z",
    "screen_class": "w",
    "language": "l",
    "time_zone": "T",
}
# A version means something beside its name only: “Firefox 140”.
_VERSIONS = {"browser_version": ("B", "browser"), "os_version": ("O", "os")}
_ATTRIBUTES = (*_SIMPLE, *_VERSIONS)
_prefixes = tuple(_SIMPLE.values())
_values = attrgetter(*_ATTRIBUTES)

DIMENSIONS = {
    dimension.name: dimension
    for dimension in (
        PAGE,
        ENTRY_PAGE,
        EXIT_PAGE,
        *(Dimension(name, prefix) for name, prefix in _SIMPLE.items()),
        *(Dimension(name, prefix) for name, (prefix, _) in _VERSIONS.items()),
        EVENT,
        PROPERTY,
    )
}


def prefix_of(field: str) -> str | None:
    """The character of the dimension that a field is a value of; None for any other field."""
    return None if field[0] in _NO_VALUES else field[0]


def is_bookkeeping(field: str) -> bool:
    """Whether a field counts nothing, but serves to keep the bucket bounded."""
    return field[0] in (MOST_MISSED, MISSED)


def count_by_page_view(page_views: Sequence[PageView]) -> Counter[str]:
    """How many of the page views have each value, by field; the page itself is not among them.

    Column by column, so that the counting is done by `Counter` and not a loop of ours.
    """
    fields: Counter[str] = Counter()
    if not page_views:
        return fields
    columns = list(zip(*map(_values, page_views), strict=True))
    for prefix, column in zip(_prefixes, columns, strict=False):
        if not any(column):
            continue
        for value, count in Counter(column).items():
            if value:
                fields[prefix + value] = count
    for at, (prefix, of) in enumerate(_VERSIONS.values(), len(_SIMPLE)):
        if not any(columns[at]):
            continue
        names = columns[_ATTRIBUTES.index(of)]
        for (name, version), count in Counter(zip(names, columns[at], strict=True)).items():
            if name and version:
                fields[f"{prefix}{name} {version}"] += count
    return fields


def count_by_bot(page_views: Sequence[PageView]) -> Counter[str]:
    """The same of page views of bots, the page among them."""
    fields = Counter([BOT_PAGE.field(view.path) for view in page_views])
    for reason, count in Counter([view.bot for view in page_views]).items():
        fields[f"{BOT_REASON.prefix}{reason}"] = count
    return fields


def count_by_event(page_views: Iterable[PageView]) -> Counter[str]:
    """The same of names and properties, which custom events have too."""
    fields: Counter[str] = Counter()
    for page_view in [event for event in page_views if event.props or event.name != PAGEVIEW]:
        if page_view.name != PAGEVIEW:
            fields[EVENT.prefix + page_view.name] += 1
        for name, value in (page_view.props or {}).items():
            fields[PROPERTY.prefix + name] += 1
            fields[f"{PROPERTY_VALUE.prefix}{name}\0{shown(value)}"] += 1
    return fields


def shown(value: Any) -> str:
    """A property's value as text; numbers, true and false as in JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
