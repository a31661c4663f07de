"""By what the numbers of a period are told apart on the site's page, and in which words. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from dashboard.bot_reasons import wording_of
from dashboard.wording import compact, exact, percent
from processing.top_values import PROPERTY_OF, Top

ROWS = 10
# Over the numbers of a table; those of a chart stand alone, so they say whose they are.
COLUMNS = {"pageviews": "Views", "visits": "Visits", "events": "Events", "bots": "Views"}
METRICS = {"pageviews": "Views", "visits": "Visits", "events": "Events", "bots": "Bots’ views"}
ONE_OF = {"pageviews": "view", "visits": "visit", "events": "event", "bots": "bot view"}


@dataclass(frozen=True)
class Tab:
    """`head` names a value; `names`: of what kind codes are, whose names the browser knows, or
    words of ours; `optional`: not shown where nothing was counted by it."""

    dimension: str
    label: str
    head: str
    names: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Panel:
    name: str
    title: str
    tabs: tuple[Tab, ...]


PANELS = (
    Panel(
        "pages",
        "Pages",
        (
            Tab("page", "Pages", "Page"),
            Tab("entry_page", "Entry", "First page of a visit"),
            Tab("exit_page", "Exit", "Last page of a visit"),
            Tab("hostname", "Hosts", "Host", optional=True),
        ),
    ),
    Panel(
        "sources",
        "Sources",
        (
            Tab("source", "Sources", "Source"),
            Tab("channel", "Channels", "Channel"),
            Tab("referrer", "Referrers", "Referrer"),
            Tab("utm_campaign", "Campaigns", "Campaign (utm_campaign)"),
            Tab("utm_source", "Tagged", "Tag (utm_source)", optional=True),
            Tab("utm_medium", "Media", "Medium (utm_medium)", optional=True),
            Tab("utm_term", "Terms", "Term (utm_term)", optional=True),
            Tab("utm_content", "Contents", "Content (utm_content)", optional=True),
        ),
    ),
    Panel(
        "places",
        "Places",
        (
            Tab("country", "Countries", "Country", "region"),
            Tab("region", "Regions", "Region"),
            Tab("language", "Languages", "Language", "language", optional=True),
            Tab("time_zone", "Time zones", "Time zone", optional=True),
        ),
    ),
    Panel(
        "devices",
        "Devices",
        (
            Tab("device", "Devices", "Device", "word"),
            Tab("browser", "Browsers", "Browser"),
            Tab("os", "Systems", "System"),
            Tab("screen_class", "Screens", "Screen, by its width", "word"),
            Tab("browser_version", "Versions", "Browser and version", optional=True),
            Tab("os_version", "System versions", "System and version", optional=True),
            Tab("screen", "Sizes", "Screen, in pixels", optional=True),
        ),
    ),
    Panel(
        "events",
        "Events",
        (Tab("event", "Events", "Event"), Tab("prop", "Properties", "Property")),
    ),
    Panel(
        "bots",
        "Bots",
        (
            Tab("bot_reason", "Bots", "Kind of bot", "reason"),
            Tab("bot_page", "Pages of bots", "Page, as bots saw it"),
        ),
    ),
)
DIMENSIONS = [tab.dimension for panel in PANELS for tab in panel.tabs]
_TABS = {tab.dimension: tab for panel in PANELS for tab in panel.tabs}


def tab_of(dimension: str) -> Tab:
    """Also of one property: “prop:plan”."""
    if dimension.startswith(PROPERTY_OF):
        name = dimension.removeprefix(PROPERTY_OF)
        return Tab(dimension, f"Property {name}", f"Property {name}")
    return _TABS[dimension]


def text_of(tab: Tab, value: str) -> str:
    """A value as people read it."""
    if tab.names == "reason":
        return wording_of(value).name
    return value.capitalize() if tab.names == "word" else value


@dataclass(frozen=True)
class Chosen:
    """The value, of a dimension, that the chart is of."""

    dimension: str
    value: str


def panel_tables(
    tops: Mapping[str, Top], query: Mapping[str, str], chosen: Chosen | None
) -> list[dict[str, Any]]:
    """For the template: each panel with the tables of its tabs."""
    return [
        {
            "panel": panel,
            "tables": [
                table(tab, tops[tab.dimension], query, chosen)
                for tab in panel.tabs
                if tops[tab.dimension].total or not tab.optional
            ],
        }
        for panel in PANELS
    ]


def table(tab: Tab, top: Top, query: Mapping[str, str], chosen: Chosen | None) -> dict[str, Any]:
    """One tab's: `rows`, most frequent first, and how many values there are beside them."""
    most = max((row[top.metric] for row in top.results), default=1)
    return {
        "tab": tab,
        "metric": COLUMNS[top.metric],
        "rows": [_row(tab, row["value"], row[top.metric], top, most, query, chosen)
                 for row in top.results],
        "total": top.total,
        "other": _other(top) if top.other > 0 else None,
        "values": top.values,
        "more": top.values > len(top.results),
        "address": _address(query, dimension=tab.dimension),
    }  # fmt: skip


def _row(
    tab: Tab,
    value: str,
    count: int,
    top: Top,
    most: int,
    query: Mapping[str, str],
    chosen: Chosen | None,
) -> dict[str, Any]:
    # A property leads to its values, everything else to its own chart.
    is_property = tab.dimension == "prop"
    address = (
        _address(query, dimension=PROPERTY_OF + value)
        if is_property
        else _address(query, dimension=tab.dimension, value=value)
    )
    return {
        "value": value,
        "text": text_of(tab, value),
        "meaning": wording_of(value).meaning if tab.names == "reason" else "",
        "bar": round(100 * count / most, 1) if most else 0,
        "address": address,
        "chosen": chosen == Chosen(tab.dimension, value),
        **_numbers(count, top.total),
    }


def _other(top: Top) -> dict[str, Any]:
    return _numbers(top.other, top.total)


def _numbers(count: int, total: int) -> dict[str, str]:
    share = percent(100 * count / total) if total else ""
    return {"count": compact(count), "exact": exact(count), "share": share}


def _address(query: Mapping[str, str], **more: str) -> str:
    return "?" + urlencode({**query, **more})
