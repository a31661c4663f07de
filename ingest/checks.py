"""System checks: the files that enrichment is told to read, and how Kafka is reached."""

from collections.abc import Sequence
from typing import Any

import maxminddb
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from ingest.enrichment.place_database import OFF
from ingest.enrichment.referrer_spam import read_spammers
from ingest.kafka_security import tls_context, uses_sasl, uses_tls


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


@register()
def check_kafka_sasl(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    names = ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")
    given = [name for name in names if getattr(settings, name)]
    if uses_sasl() and given != list(names):
        missing = " and ".join(name for name in names if name not in given)
        return [
            Error(
                f"KAFKA_SECURITY_PROTOCOL is {settings.KAFKA_SECURITY_PROTOCOL!r}, which wants "
                f"{missing}.",
                hint="Set what Kafka knows us by, or KAFKA_SECURITY_PROTOCOL=SSL.",
                id="ingest.E003",
            )
        ]
    if given and not uses_sasl():
        return [_unused(given[0], "SASL_SSL", "ingest.E004")]
    return []


@register()
def check_kafka_tls(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    names = ("KAFKA_SSL_CA_LOCATION", "KAFKA_SSL_CERTIFICATE_LOCATION", "KAFKA_SSL_KEY_LOCATION")
    given = {name: getattr(settings, name) for name in names if getattr(settings, name)}
    if not uses_tls():
        return [_unused(name, "SASL_SSL or SSL", "ingest.E004") for name in list(given)[:1]]
    try:
        tls_context()
    except OSError as error:
        files = ", ".join(f"{name}={file!r}" for name, file in given.items())
        return [
            Error(
                f"{files}: {error}",
                hint="Name PEM files: the certificates that Kafka's are signed with; our own "
                "certificate, and its key without a password, where Kafka wants one.",
                id="ingest.E005",
            )
        ]
    return []


def _unused(name: str, protocol: str, number: str) -> CheckMessage:
    """What is sent without the protection that was meant is worse than what is not sent."""
    return Error(
        f"{name} is set, but KAFKA_SECURITY_PROTOCOL is {settings.KAFKA_SECURITY_PROTOCOL!r}, "
        "which does not use it.",
        hint=f"Set KAFKA_SECURITY_PROTOCOL={protocol}, or unset {name}.",
        id=number,
    )
