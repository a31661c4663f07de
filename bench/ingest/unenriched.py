"""`python -m bench.ingest.unenriched PORT`: the gateway's process without enrichment, so that
what that costs can be seen. Of the page's address it keeps path and host, which a message needs."""

import os
import socket
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tracker_site.daemon_settings"
django.setup()

from ingest import make_acceptance  # noqa: E402
from ingest.enrichment.agent import UNKNOWN  # noqa: E402
from ingest.enrichment.place import NOWHERE  # noqa: E402
from ingest.enrichment.steps import Campaign, Enriched, Enrichment, Told  # noqa: E402
from ingest.gateway import worker  # noqa: E402
from ingest.page_url import read_page_url  # noqa: E402
from ingest.sender import Sender  # noqa: E402
from ingest.track_request import TrackRequest  # noqa: E402

_NO_CAMPAIGN = Campaign(*[None] * len(Campaign._fields))


class Unenriched(Enrichment):
    """Tells nothing but what the event itself says."""

    def of_sender(self, sender: Sender) -> Told:
        return Told(sender, sender.address, UNKNOWN, NOWHERE, False, False, None, False, False)

    def enrich(
        self,
        request: TrackRequest,
        told: Told,
        site: str,
        path_rules: str = "",
        internal_addresses: str = "",
    ) -> Enriched:
        page = read_page_url(request.page_url)
        return Enriched(
            page.path, page.hostname, request.referrer, None, None, _NO_CAMPAIGN, told.place,
            told.agent, request.screen, None, request.language, request.time_zone, None,
        )  # fmt: skip


if __name__ == "__main__":
    vars(make_acceptance)["Enrichment"] = Unenriched
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4_096)
    alive, _write = os.pipe()
    worker.run(listener, alive, lambda: None)
