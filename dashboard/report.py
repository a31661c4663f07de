"""What the site's page tells of a period: figures beside those before, a chart, panels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.bot_reasons import mostly
from dashboard.kept import Kept
from dashboard.panels import (
    DIMENSIONS,
    METRICS,
    ONE_OF,
    ROWS,
    Chosen,
    panel_tables,
    tab_of,
    table,
    text_of,
)
from dashboard.period import DAYS_A_BAR, Period, Span, chunks, days_text
from dashboard.wording import change, compact, duration, exact, percent, ratio
from ingest.models import Site
from processing.dimensions import BOT_REASON
from processing.history_stats import DAY, HOUR
from processing.stats import Stats
from processing.top_values import PROPERTY_OF, field_of

LISTED_ROWS = 1_000


@dataclass(frozen=True)
class _Figure:
    """`show` writes it; `title` says it exactly."""

    name: str
    label: str
    show: Callable[[Any], str]
    unit: str = ""


_FIGURES = (
    _Figure("pageviews", "Views", compact),
    _Figure("visitors", "People", compact),
    _Figure("visits", "Visits", compact),
    _Figure("views_per_visit", "Views a visit", ratio),
    _Figure("bounce_rate", "Bounce rate", percent, "%"),
    _Figure("visit_duration", "Visit duration", duration, " s"),
    _Figure("bots", "Bots, not counted above", compact),
)


@dataclass(frozen=True)
class Asked:
    """`chosen`: the chart is of one value only; `listed`: all values of one dimension instead of
    the panels."""

    period: Period
    chosen: Chosen | None = None
    listed: str | None = None


def read_asked(period: Period, dimension: str, value: str) -> Asked:
    """Raises `UnknownDimension`."""
    if not dimension:
        return Asked(period)
    field_of(dimension, value)
    if value:
        return Asked(period, chosen=Chosen(dimension, value))
    return Asked(period, listed=dimension)


def read_report(stats: Stats, site: Site, asked: Asked, now_ms: int) -> dict[str, Any]:
    """For the template. Raises `redis.RedisError`."""
    period, query = asked.period, asked.period.query
    kept = Kept.of(site)
    before = period.before(kept, site.time_zone, now_ms)
    found = {
        "figures": read_figures(stats, site, period, before),
        "compared": _compared(before, site.time_zone) if before else None,
        "expired": not kept.has_day(period.first, period.today),
        "chart": read_chart(stats, site, asked, before, now_ms),
        "chart_title": _chart_title(asked, kept),
        "as_of": stats.as_of(now_ms),
    }
    reasons = BOT_REASON.name
    dimensions, limit = DIMENSIONS, ROWS
    if asked.listed:
        dimensions, limit = [asked.listed, reasons], LISTED_ROWS
    tops = stats.tops(site, period.first, period.last, dimensions, limit)
    found["mostly"] = mostly(tops[reasons])
    if asked.listed:
        return found | {"listed": table(tab_of(asked.listed), tops[asked.listed], query, None)}
    return found | {"panels": panel_tables(tops, query, asked.chosen)}


def read_figures(
    stats: Stats, site: Site, period: Period, before: Span | None
) -> list[dict[str, str]]:
    totals = stats.totals(site, period.first, period.last)
    earlier: dict[str, Any] = {}
    if before:
        earlier = stats.totals(site, before.first, before.last, before.until)
        if not any(earlier.values()):
            earlier = {}
    return [_shown(figure, totals[figure.name], earlier) for figure in _FIGURES]


def read_chart(
    stats: Stats, site: Site, asked: Asked, before: Span | None, now_ms: int
) -> dict[str, Any]:
    """`points`: `label`, `views` (null: not begun yet), `before` (null: not known), oldest
    first; `current`: which of them is still running."""
    period, kept = asked.period, Kept.of(site)
    hourly = period.interval(kept) == HOUR
    read = _hours if hourly else _days
    now = read(stats, site, asked, period.first, period.last, period.days_a_bar)
    line: list[tuple[str, str, int]] = []
    if before and (not hourly or kept.has_hours_of(before.first, period.today)):
        line = read(stats, site, asked, before.first, before.last, period.days_a_bar)
    begun = [point for point in now if _begun(point[0], now_ms)]
    points = [
        {
            "label": label,
            "views": views if n < len(begun) else None,
            "before": line[n][2] if n < len(line) else None,
        }
        for n, (_, label, views) in enumerate(now)
    ]
    return {"points": points, "current": len(begun) - 1 if period.is_running else None}


def _hours(
    stats: Stats, site: Site, asked: Asked, first: date, last: date, _: int
) -> list[tuple[str, str, int]]:
    """Beginning, label and number of each bar."""
    one_day = first == last
    found = []
    for at, views in _series(stats, site, asked, first, last, HOUR):
        moment = datetime.fromisoformat(at)
        day = "" if one_day else f"{moment:%a} {moment.day} {moment:%b} "
        found.append((at, f"{day}{moment:%H:%M}", views))
    return found


def _days(
    stats: Stats, site: Site, asked: Asked, first: date, last: date, size: int
) -> list[tuple[str, str, int]]:
    series = dict(_series(stats, site, asked, first, last, DAY))
    return [
        (str(of[0]), _days_label(of), sum(series[str(day)] for day in of))
        for of in chunks(first, last, size)
    ]


def _series(
    stats: Stats, site: Site, asked: Asked, first: date, last: date, interval: str
) -> list[tuple[str, int]]:
    if asked.chosen is None:
        found = stats.timeseries(site, first, last, interval)
        return [(point["time"], point["pageviews"]) for point in found]
    dimension, value = asked.chosen.dimension, asked.chosen.value
    found = stats.timeseries_of(site, first, last, interval, dimension, value)
    metric = field_of(dimension, value)[1]
    return [(point["time"], point[metric]) for point in found]


def _days_label(days: Sequence[date]) -> str:
    if len(days) > 1:
        return days_text(days[0], days[-1])
    return f"{days[0]:%a} {days[0].day} {days[0]:%b}"


def _begun(at: str, now_ms: int) -> bool:
    """Whether the bar that begins then has come; days of a period always have."""
    return "T" not in at or datetime.fromisoformat(at).timestamp() * 1000 <= now_ms


def _shown(figure: _Figure, value: Any, earlier: dict[str, Any]) -> dict[str, str]:
    was = earlier.get(figure.name)
    return {
        "name": figure.name,
        "label": figure.label,
        "text": figure.show(value),
        "exact": f"{exact(value)}{figure.unit}" if value is not None else "",
        "was": figure.show(was) if was is not None else "",
        "was_exact": f"{exact(was)}{figure.unit}" if was is not None else "",
        # The change of a rate in percent would be misread.
        "change": "" if figure.unit == "%" else change(value, was),
    }


def _chart_title(asked: Asked, kept: Kept) -> dict[str, str]:
    hourly = asked.period.interval(kept) == HOUR
    unit = "an hour" if hourly else DAYS_A_BAR[asked.period.days_a_bar]
    if asked.chosen is None:
        return {"what": "Views", "unit": unit, "one": ONE_OF["pageviews"]}
    tab = tab_of(asked.chosen.dimension)
    metric = field_of(asked.chosen.dimension, asked.chosen.value)[1]
    head = tab.label if asked.chosen.dimension.startswith(PROPERTY_OF) else tab.head
    return {
        "what": METRICS[metric],
        "unit": unit,
        "one": ONE_OF[metric],
        "head": head,
        "value": text_of(tab, asked.chosen.value),
        "names": tab.names,
    }


def _compared(before: Span, time_zone: str) -> str:
    text = days_text(before.first, before.last)
    if before.until is None:
        return text
    moment = datetime.fromtimestamp(before.until, ZoneInfo(time_zone))
    at = "24:00" if moment.date() > before.last else f"{moment:%H:%M}"
    return f"{text} until {at}"
