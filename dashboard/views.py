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
from dashboard.snippet import request_of, snippet_of
from dashboard.summaries import ago, read_summaries
from ingest.models import Site
from processing.calendar import today
from processing.live_stats import empty_state
from processing.stats import now_ms

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
    """One site as it is now; the page goes on by itself over the websocket."""
    found = get_object_or_404(Site, public_id=site)
    return render(
        request,
        "live.html",
        {
            "site": found,
            "sites": Site.objects.all(),
            "state": _state(found),
            "snippet": snippet_of(found),
            "request_line": request_of(found),
        },
    )


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


def _state(site: Site) -> dict[str, Any]:
    try:
        return stats().live(site, now_ms())
    except redis.RedisError:
        state = empty_state(site)
        return {**state, "as_of": {**state["as_of"], "state": "unavailable"}}
