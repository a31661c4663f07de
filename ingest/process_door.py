"""The DRF door of this process, made when it is first asked for."""

from functools import cache

from ingest.door import Door, make_door, producer_settings
from ingest.producer import PageViewProducer
from ingest.sites import SiteDirectory

# Each holds a thread.
_WAITING_REQUESTS = 512


@cache
def process_producer() -> PageViewProducer:
    return PageViewProducer(producer_settings(_WAITING_REQUESTS))


@cache
def process_door() -> Door:
    return make_door(SiteDirectory(), process_producer())
