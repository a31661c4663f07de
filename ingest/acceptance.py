"""From what a sender wrote to the message: a visible list of steps. Pure.

Each step takes values and gives values or raises `Refusal`; the doors bring the sites,
the clock and the sender's address.
"""

import os
from datetime import datetime
from zoneinfo import ZoneInfo

from ingest.enrichment.steps import Enrichment, Told
from ingest.event_time import read_time
from ingest.pageview import VERSION, PageView
from ingest.refusals import Refusal
from ingest.sender import Sender as Sender
from ingest.sites import SiteDirectory, SiteSettings
from ingest.track_request import TrackRequest
from ingest.visitor import VisitorHash


class Acceptance:
    """Turns requests into messages.

    `default_site` receives events that name none. `sites` answers without I/O per event.
    """

    def __init__(
        self,
        sites: SiteDirectory,
        default_site: str,
        visitors: VisitorHash,
        enrichment: Enrichment,
    ) -> None:
        self._sites = sites
        self._default_site = default_site
        self._visitors = visitors
        self._of_sender, self._enrich = enrichment.of_sender, enrichment.enrich

    def of_sender(self, sender: Sender) -> Told:
        """What `accept` has to know of who sent a request's events."""
        return self._of_sender(sender)

    def accept(self, request: TrackRequest, told: Told, received: int) -> PageView:
        """The message of one event that arrived at `received` (Unix ms); `told` is what
        `of_sender` says of its sender. Raises `Refusal`."""
        site = self._find_site(request.site or self._default_site)
        opt_out = told.sender.opt_out
        if opt_out is not None and site.honour_opt_out:
            raise _opted_out(site, opt_out)
        ts = read_time(request.timestamp, received, request.queue_time or 0)
        fields = self._enrich(
            request, told, site.public_id, site.path_rules, site.internal_addresses
        )
        if site.allowed_hostnames and fields.hostname is not None:
            _check_hostname(site, fields.hostname, request)
        # By place: finding thirty names took a microsecond, a quarter of all that is done here.
        return PageView(
            request.event_id or uuid7(received),
            site.public_id,
            self._visitor(site, request, told.sender, received),
            fields.path,
            ts,
            received,
            VERSION,
            request.name,
            request.event_id is not None,
            fields.hostname,
            request.title or None,
            fields.referrer,
            fields.source,
            fields.channel,
            *fields.campaign,
            *fields.place,
            *fields.agent,
            fields.screen,
            fields.screen_class,
            fields.language,
            fields.time_zone,
            fields.bot,
            _props(request) if request.props else None,
        )

    def knows_site(self, name: str) -> bool:
        """Whether a site has this id or alias. Raises `DatabaseError`."""
        return self._sites.get(name) is not None

    def _find_site(self, public_id: str) -> SiteSettings:
        site = self._sites.get(public_id)
        if site is None:
            raise Refusal(
                403, "site", public_id, "this site is not tracked here; add it in the admin"
            )
        if not site.active:
            raise Refusal(403, "site", public_id, "this site is inactive; activate it in the admin")
        return site

    def _visitor(
        self, site: SiteSettings, request: TrackRequest, sender: Sender, received: int
    ) -> str:
        if request.user_id is not None:
            return self._visitors.of_user(site.public_id, str(request.user_id))
        day = datetime.fromtimestamp(received / 1000, ZoneInfo(site.time_zone)).date()
        return self._visitors.of_browser(site.public_id, day, sender.address, sender.agent)


def _opted_out(site: SiteSettings, header: str) -> Refusal:
    return Refusal(
        403,
        header,
        "1",
        f"this browser asks not to be tracked, and {site.public_id} honours that",
    )


def _check_hostname(site: SiteSettings, hostname: str, request: TrackRequest) -> None:
    allowed = site.allowed_hostnames.split()
    if allowed and not any(_matches(hostname, pattern) for pattern in allowed):
        raise Refusal(
            403,
            "page_url",
            request.page_url,
            f"{hostname} is not an allowed hostname of {site.public_id}",
        )


def _matches(hostname: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return hostname.endswith(pattern[1:]) or hostname == pattern[2:]
    return hostname == pattern


def _props(request: TrackRequest) -> dict[str, str | int | float | bool] | None:
    return {name: value for name, value in request.props.items() if value is not None} or None


def uuid7(ms: int) -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of `ms`, the rest random."""
    text = f"{ms:012x}{os.urandom(10).hex()}"
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-7{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
