"""Who sent a request, as far as connection and headers tell; none of it goes into the message."""

from typing import NamedTuple

from ingest.enrichment.client_hints import NO_HINTS, ClientHints


class Sender(NamedTuple):
    """`internal`: the header X-Tracker-Internal, by which a site's own people are left out.
    `opt_out` names the header that asks not to be tracked, if one does. `vouches`: a `user_id`
    means that the site knows its visitor; false where it only names a browser."""

    address: str
    agent: str
    hints: ClientHints = NO_HINTS
    internal: str = ""
    opt_out: str | None = None
    vouches: bool = True
