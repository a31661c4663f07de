"""The acceptance of this deployment, as the settings have it."""

from django.conf import settings

from ingest.acceptance import Acceptance
from ingest.enrichment.place import PlaceFinder
from ingest.enrichment.place_database import place_file
from ingest.enrichment.referrer_spam import read_spammers
from ingest.enrichment.steps import Enrichment
from ingest.sites import SiteDirectory
from ingest.visitor import VisitorHash
from ingest.visitor_salts import FollowedSalts


def make_acceptance(sites: SiteDirectory) -> Acceptance:
    """Ready when it returns: the first page view waits for nothing."""
    salts = FollowedSalts()
    salts.start()
    enrichment = Enrichment(
        PlaceFinder(place_file(settings.GEOIP_DATABASE)),
        read_spammers(settings.REFERRER_SPAM_FILE),
    )
    enrichment.warm_up()
    visitors = VisitorHash(settings.SECRET_KEY, salts.salt_of)
    return Acceptance(sites, settings.DEFAULT_SITE, visitors, enrichment)
