"""The doors of this process, made when they are first asked for."""

from functools import cache

from django.conf import settings

from ingest.door import Door, make_door, producer_settings
from ingest.doors.runner import TrackerDoors
from ingest.producer import PageViewProducer
from ingest.sites import SiteDirectory

# Each holds a thread.
_WAITING_REQUESTS = 512


@cache
def process_producer() -> PageViewProducer:
    return PageViewProducer(producer_settings(_WAITING_REQUESTS))


@cache
def process_doors() -> TrackerDoors:
    return TrackerDoors(process_door(), settings.MAX_BODY_BYTES)


@cache
def process_door() -> Door:
    return make_door(SiteDirectory(), process_producer())
