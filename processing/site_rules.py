"""The rules that a site's settings make."""

from functools import lru_cache

from ingest.enrichment.bots import read_bot_reasons
from ingest.models import Site
from ingest.sites import SiteSettings
from processing.rules import SiteRules


def rules_of(site: Site | SiteSettings | None) -> SiteRules:
    """None: a site that is not tracked."""
    if site is None:
        return _rules("UTC", None, "", "")
    hosts = f"{site.public_id} {site.allowed_hostnames}"
    return _rules(site.time_zone, site.retention_days, site.bots_as_people, hosts)


# Asked for with each event.
@lru_cache(maxsize=4_096)
def _rules(
    time_zone: str, retention_days: int | None, bots_as_people: str, hosts: str
) -> SiteRules:
    people = frozenset(reason.value for reason in read_bot_reasons(bots_as_people))
    return SiteRules(time_zone, retention_days, people, tuple(map(_ending, hosts.split())))


def _ending(host: str) -> str:
    """A site's id usually is its domain; “*.shop.example” allows every host in it."""
    return "." + host.lower().removeprefix("*.").removeprefix("www.")
