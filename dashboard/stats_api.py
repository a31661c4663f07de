"""The JSON API's numbers of a site."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api import (
    COUNT,
    DAYS,
    LIMIT,
    TEXT,
    Days,
    ReadEndpoint,
    answers,
    list_of,
    read_days,
    read_interval,
    read_limit,
    response_of,
    stats,
)
from ingest.models import Site
from ingest.refusals import Refusal
from processing.dimensions import PAGE
from processing.history_stats import DAY, INTERVALS, MINUTE
from processing.live_counts import FEED_EVENTS
from processing.stats import now_ms
from processing.top_values import ASKABLE, PROPERTY_OF, UnknownDimension

_NUMBER_OR_NULL = {"type": ["number", "null"]}
_TOTALS = {
    **dict.fromkeys(("pageviews", "visitors", "bots", "visits", "bounces"), COUNT),
    **dict.fromkeys(("bounce_rate", "visit_duration", "views_per_visit"), _NUMBER_OR_NULL),
}


class TotalsView(ReadEndpoint):
    @extend_schema(
        summary="Page views, visitors, visits and bots of some days",
        description="Page views and bots add up to the page views that were sent. A visit ends "
        "after 30 idle minutes and counts where it began; a bounce is one with one page view and "
        "no other event. `bounce_rate` is in percent, `visit_duration` in seconds; they and "
        "`views_per_visit` are null where there was no visit.",
        parameters=DAYS,
        responses=answers(response_of(**_TOTALS)),
    )
    def get(self, request: Request, site: str) -> Response:
        found = self.site(request, site)
        days = read_days(request, found)
        totals = stats().totals(found, days.first, days.last)
        return Response({**totals, "as_of": stats().as_of(now_ms())})


_METRIC = {"type": "string", "enum": ["pageviews", "visits", "events", "bots"]}
_DIMENSION = {
    "anyOf": [
        {"type": "string", "enum": list(ASKABLE)},
        {"type": "string", "pattern": f"^{PROPERTY_OF}.+", "description": "A property's values."},
    ]
}


def _unknown(dimension: str) -> Refusal:
    return Refusal(
        400, "dimension", dimension,
        f"must be one of {', '.join(ASKABLE)} or {PROPERTY_OF}<name>",
    )  # fmt: skip


class TimeseriesView(ReadEndpoint):
    @extend_schema(
        summary="The same numbers, minute by minute, hour by hour or day by day",
        description="`time` is when the minute or hour begins on the site's clock, or the day. "
        + "; ".join(f"at most {days} days by the {name}" for name, days in INTERVALS.items())
        + ". With `dimension` and `value`, what `top` counts of that value instead; by the minute "
        "of pages only.",
        parameters=[
            *DAYS,
            OpenApiParameter("interval", str, enum=list(INTERVALS), description=f"Default: {DAY}."),
            OpenApiParameter("dimension", _DIMENSION),
            OpenApiParameter("value", str, description="One of its values."),
        ],
        responses=answers(
            response_of(interval=TEXT, results=list_of(time=TEXT, events=COUNT, **_TOTALS))
        ),
    )
    def get(self, request: Request, site: str) -> Response:
        found = self.site(request, site)
        days, interval = read_days(request, found), read_interval(request)
        if (days.last - days.first).days >= INTERVALS[interval]:
            raise Refusal(
                400, "from", str(days.first),
                f"more than {INTERVALS[interval]} days by the {interval}; ask for less",
            )  # fmt: skip
        results = self._results(request, found, days, interval)
        return Response(
            {"interval": interval, "results": results, "as_of": stats().as_of(now_ms())}
        )

    @staticmethod
    def _results(request: Request, site: Site, days: Days, interval: str) -> list[dict[str, Any]]:
        dimension = request.query_params.get("dimension", "")
        if not dimension:
            return stats().timeseries(site, days.first, days.last, interval)
        if interval == MINUTE and dimension != PAGE.name:
            raise Refusal(
                400, "interval", interval, "by the minute only pages are counted; take hour or day"
            )
        value = request.query_params.get("value", "")
        try:
            return stats().timeseries_of(site, days.first, days.last, interval, dimension, value)
        except UnknownDimension:
            raise _unknown(dimension) from None


class TopView(ReadEndpoint):
    @extend_schema(
        summary="The most frequent browsers, countries, referrers, … of some days",
        description="`metric` says what is counted: page views, of entry and exit pages visits, of "
        "events and properties events, of `bot_page` and `bot_reason` page views of bots. `total` "
        "counts all that has a value; `other`, of it, what is not kept value by value; `values` "
        f"says how many values are kept. `{PROPERTY_OF}<name>` asks for one property's values.",
        parameters=[OpenApiParameter("dimension", _DIMENSION, required=True), *DAYS, LIMIT],
        responses=answers(
            response_of(
                dimension=TEXT,
                metric=_METRIC,
                results=list_of(
                    value=TEXT, pageviews=COUNT, visits=COUNT, events=COUNT, bots=COUNT
                ),
                total=COUNT,
                other=COUNT,
                values=COUNT,
            )
        ),
    )
    def get(self, request: Request, site: str) -> Response:
        found = self.site(request, site)
        dimension = request.query_params.get("dimension", "")
        days, limit = read_days(request, found), read_limit(request)
        try:
            top = stats().top(found, days.first, days.last, dimension, limit)
        except UnknownDimension:
            raise _unknown(dimension) from None
        return Response({"dimension": dimension, **asdict(top), "as_of": stats().as_of(now_ms())})


class PagesView(ReadEndpoint):
    @extend_schema(
        summary="The most viewed pages of some days",
        parameters=[*DAYS, LIMIT],
        responses=answers(
            response_of(results=list_of(path=TEXT, pageviews=COUNT, visitors=COUNT, bots=COUNT))
        ),
    )
    def get(self, request: Request, site: str) -> Response:
        found = self.site(request, site)
        days = read_days(request, found)
        pages = stats().pages(found, days.first, days.last, read_limit(request))
        return Response({"results": pages, "as_of": stats().as_of(now_ms())})


_FEED_TEXTS = ("id", "name", "path", "referrer", "source", "country", "browser", "os", "device")


class NowView(ReadEndpoint):
    @extend_schema(
        summary="Who was here in the last five minutes, and the last events",
        description="By arrival. `pages`: where each visitor was last. `sources` and "
        "`referrers`: what brought them, wherever on the site they went on to. `feed`: the last "
        f"{FEED_EVENTS} events, newest first; fields without a value are left out.",
        responses=answers(
            response_of(
                visitors=COUNT,
                pages=list_of(path=TEXT, visitors=COUNT),
                sources=list_of(source=TEXT, visitors=COUNT),
                referrers=list_of(referrer=TEXT, visitors=COUNT),
                countries=list_of(country=TEXT, visitors=COUNT),
                feed=list_of(
                    **dict.fromkeys(("received", "ts"), COUNT),
                    **dict.fromkeys(_FEED_TEXTS, TEXT),
                ),
            )
        ),
    )
    def get(self, request: Request, site: str) -> Response:
        found = self.site(request, site)
        now = now_ms()
        return Response({**stats().now(found, now), "as_of": stats().as_of(now)})
