"""Who sent a request of Django's."""

from django.conf import settings
from django.http import HttpRequest

from ingest.client_address import client_address, read_networks
from ingest.enrichment.client_hints import read_hints
from ingest.opt_out import opt_out
from ingest.sender import Sender

_proxies = read_networks(settings.TRUSTED_PROXIES)


def sender_of(request: HttpRequest) -> Sender:
    header = request.META.get
    return Sender(
        address=client_address(
            header("REMOTE_ADDR", ""), header("HTTP_X_FORWARDED_FOR", ""), _proxies
        ),
        agent=header("HTTP_USER_AGENT", ""),
        hints=read_hints(
            brands=header("HTTP_SEC_CH_UA", ""),
            mobile=header("HTTP_SEC_CH_UA_MOBILE", ""),
            platform=header("HTTP_SEC_CH_UA_PLATFORM", ""),
            platform_version=header("HTTP_SEC_CH_UA_PLATFORM_VERSION", ""),
        ),
        internal=header("HTTP_X_TRACKER_INTERNAL", ""),
        opt_out=opt_out(header("HTTP_DNT", ""), header("HTTP_SEC_GPC", "")),
    )
