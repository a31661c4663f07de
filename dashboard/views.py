"""The pages for people: choose a site, watch it."""

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import redis
from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from dashboard.api import stats
from dashboard.assets import import_map, page_version
from dashboard.balance import STORE_AWAY, read_balance, read_site_balance
from dashboard.balance_tables import archive_table, earlier_table, partition_table, site_table
from dashboard.live_state import LiveStates, unavailable
from dashboard.period import LIVE, PRESETS, NotAPeriod, Period, days_text, read_period
from dashboard.report import read_asked, read_report
from dashboard.snippet import request_of, snippet_of
from dashboard.summaries import ago, read_summaries
from ingest.models import Site
from processing.calendar import today
from processing.stats import now_ms
from processing.top_values import UnknownDimension

BALANCE_DAYS = 7


@login_required
@permission_required("ingest.view_site", raise_exception=True)
def sites(request: HttpRequest) -> HttpResponse:
    """Every site with what is happening on it; the only one is shown at once."""
    found = list(Site.objects.all())
    if len(found) == 1 and "all" not in request.GET:
        return redirect("live", found[0].public_id)
    summaries = read_summaries(found)
    rows = [_row(site, summaries.get(site.public_id, {})) for site in found]
    return render(request, "sites.html", {"rows": rows, "store_away": found and not summaries})


@login_required
@permission_required("ingest.view_site", raise_exception=True)
def live(request: HttpRequest, site: str) -> HttpResponse:
    """One site: as it is now, where the page goes on by itself over the websocket, or of a
    period."""
    found = get_object_or_404(Site, public_id=site)
    now = now_ms()
    try:
        period = read_period(request.GET, today(found.time_zone, now))
    except NotAPeriod as mistake:
        context = _site_context(found, None) | {"mistake": str(mistake)}
        return render(request, "period.html", context, status=400)
    context = _site_context(found, period)
    if period is None:
        return render(request, "live.html", context | _live_context(found, now))
    return render(request, "period.html", context | _period_context(request, found, period, now))


@login_required
@permission_required("ingest.view_site", raise_exception=True)
def wall(request: HttpRequest, site: str) -> HttpResponse:
    """The live page for a screen that nobody sits at: without controls, in large letters."""
    found = get_object_or_404(Site, public_id=site)
    return render(request, "wall.html", {"site": found, **_live_context(found, now_ms())})


def _site_context(site: Site, period: Period | None) -> dict[str, Any]:
    """What both pages of a site have: the switchers in the top line."""
    return {
        "site": site,
        "sites": Site.objects.all(),
        "period": period,
        "period_name": period.name if period else LIVE,
        "presets": {name: name.capitalize() for name in PRESETS},
        "query": urlencode(period.query) if period else "",
        "today": today(site.time_zone, now_ms()),
    }


def _live_context(site: Site, now: int) -> dict[str, Any]:
    return {
        "state": _state(site, now),
        "snippet": snippet_of(site),
        "request_line": request_of(site),
    }


def _period_context(request: HttpRequest, site: Site, period: Period, now: int) -> dict[str, Any]:
    query = request.GET
    try:
        asked = read_asked(period, query.get("dimension", ""), query.get("value", ""))
    except UnknownDimension as error:
        raise Http404(f"No dimension {error}") from None
    context = {"asked": asked, "period_text": days_text(period.first, period.last)}
    try:
        report = read_report(stats(), site, asked, now)
        last = stats().summaries([site], now)[site.public_id]["last_received"]
    except redis.RedisError:
        return context | {"report": None, "as_of": unavailable(site)["as_of"]}
    through = report["as_of"]["through"]
    return context | {
        "report": report,
        "as_of": report["as_of"],
        "through": datetime.fromisoformat(through) if through else None,
        "is_new": last is None,
    }


@login_required
@permission_required("ingest.view_site", raise_exception=True)
def balance(request: HttpRequest) -> HttpResponse:
    """Does everything add up? The page goes on by itself through the JSON API."""
    sites = {site.public_id: site for site in Site.objects.all()}
    wanted = request.GET.get("site") or next(iter(sites), None)
    if wanted is not None and wanted not in sites:
        raise Http404
    site = sites[wanted] if wanted is not None else None
    try:
        context = _balance_context(site)
    except redis.RedisError:
        context = {"verdict": asdict(STORE_AWAY)}
    context["addresses"] = _balance_addresses(site)
    return render(request, "balance.html", {"sites": list(sites.values()), "site": site, **context})


def _balance_context(site: Site | None) -> dict[str, Any]:
    now = now_ms()
    found = read_balance(stats(), now)
    context = {
        "verdict": found["verdict"],
        "at": found["as_of"]["at"],
        "balance": found,
        "partitions": partition_table(found),
        "earlier": earlier_table(found),
        "archive": archive_table(found),
    }
    if site is not None:
        first, last = _first_day(site), today(site.time_zone, now)
        context["days"] = site_table(read_site_balance(stats(), site, first, last, now))
    return context


def _balance_addresses(site: Site | None) -> list[str]:
    """Where the page finds newer numbers: of the whole log, and of the site."""
    ledger = reverse("ledger")
    if site is None:
        return [ledger]
    first = _first_day(site).isoformat()
    return [ledger, f"{ledger}?{urlencode({'site': site.public_id, 'from': first})}"]


def _first_day(site: Site) -> date:
    return today(site.time_zone, now_ms()) - timedelta(days=BALANCE_DAYS - 1)


def page_context(request: HttpRequest) -> dict[str, Any]:
    """For every template: which scripts and styles belong to this server."""
    return {"page_version": page_version(), "import_map": import_map()}


def _row(site: Site, summary: dict[str, int | None]) -> dict[str, Any]:
    last = summary.get("last_received")
    return {
        "site": site,
        "visitors_now": summary.get("visitors_now"),
        "views_today": summary.get("views_today"),
        "last_event": ago(datetime.fromtimestamp(last / 1000, UTC)) if last else None,
    }


def _state(site: Site, now: int) -> dict[str, Any]:
    try:
        return LiveStates(stats()).read(site, now)
    except redis.RedisError:
        return unavailable(site)
