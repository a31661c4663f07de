"""System checks: the files that enrichment is told to read."""

from collections.abc import Sequence
from typing import Any

import maxminddb
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from ingest.enrichment.place_database import OFF
from ingest.enrichment.referrer_spam import read_spammers


@register()
def check_places(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    file = settings.GEOIP_DATABASE
    if file in ("", OFF):
        return []
    try:
        maxminddb.open_database(file).close()
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        return [
            Error(
                f"GEOIP_DATABASE is {file!r}, which can't be read: {error}",
                hint="Name a file of MaxMind's format, such as GeoLite2-City.mmdb; nothing for the "
                f"packaged one; {OFF} for none.",
                id="ingest.E001",
            )
        ]
    return []


@register()
def check_spammers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    file = settings.REFERRER_SPAM_FILE
    try:
        read_spammers(file)
    except (OSError, UnicodeDecodeError) as error:
        return [
            Error(
                f"REFERRER_SPAM_FILE is {file!r}, which can't be read: {error}",
                hint="Name a text file with one domain a line, or nothing.",
                id="ingest.E002",
            )
        ]
    return []
