"""Every address at which another tracker's requests are taken."""

from ingest.doors import ga4, goatcounter, matomo, plausible, segment, snowplow, umami
from ingest.doors.endpoint import Endpoint

_TRACKERS = (plausible, umami, goatcounter, matomo, segment, snowplow, ga4)
ENDPOINTS: tuple[Endpoint, ...] = tuple(
    endpoint for tracker in _TRACKERS for endpoint in tracker.ENDPOINTS
)
