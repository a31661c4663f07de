"""An acceptance as the tests put it together: one salt, no places, no spammers."""

from ingest.acceptance import Acceptance
from ingest.enrichment.place import PlaceFinder
from ingest.enrichment.steps import Enrichment
from ingest.sites import SiteDirectory
from ingest.visitor import VisitorHash


def acceptance_of(default_site: str) -> Acceptance:
    visitors = VisitorHash("secret", lambda day: day.isoformat().encode())
    return Acceptance(
        SiteDirectory(0.0), default_site, visitors, Enrichment(PlaceFinder(None), frozenset())
    )
