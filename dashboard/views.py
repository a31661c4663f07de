"""The pages for people: choose a site, watch it."""

from datetime import UTC, datetime
from typing import Any

import redis
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from dashboard.api import stats
from dashboard.assets import page_version
from dashboard.snippet import request_of, snippet_of
from dashboard.summaries import ago, read_summaries
from ingest.models import Site
from processing.stats import empty_state, now_ms


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


def page_context(request: HttpRequest) -> dict[str, Any]:
    """For every template: the version of scripts and styles."""
    return {"page_version": page_version()}


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
