"""How this deployment's clients know Kafka's brokers (TLS) and are known by them (SASL, or a
certificate): the settings KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_… and KAFKA_SSL_…, as librdkafka and
asyncio want them.
"""

import ssl
from typing import Any, NamedTuple

from django.conf import settings


class Credentials(NamedTuple):
    """For SASL. `mechanism` as Kafka names it: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""

    mechanism: str
    username: str
    password: str


def librdkafka_settings(bootstrap_servers: str) -> dict[str, Any]:
    """What each of its clients is made with, beside what it is for."""
    return {
        "bootstrap.servers": bootstrap_servers,
        "security.protocol": settings.KAFKA_SECURITY_PROTOCOL,
        **_librdkafka_tls(),
        **_librdkafka_sasl(),
    }


def _librdkafka_tls() -> dict[str, str]:
    if not uses_tls():
        return {}
    files = {
        "ssl.ca.location": settings.KAFKA_SSL_CA_LOCATION,
        "ssl.certificate.location": settings.KAFKA_SSL_CERTIFICATE_LOCATION,
        "ssl.key.location": settings.KAFKA_SSL_KEY_LOCATION,
    }
    return {name: file for name, file in files.items() if file}


def _librdkafka_sasl() -> dict[str, str]:
    known = credentials()
    if known is None:
        return {}
    return {
        "sasl.mechanism": known.mechanism,
        "sasl.username": known.username,
        "sasl.password": known.password,
    }


def tls_context() -> ssl.SSLContext | None:
    """None where the protocol has no TLS. Raises `OSError` for files that are none."""
    if not uses_tls():
        return None
    context = ssl.create_default_context(cafile=settings.KAFKA_SSL_CA_LOCATION or None)
    if settings.KAFKA_SSL_CERTIFICATE_LOCATION:
        context.load_cert_chain(
            settings.KAFKA_SSL_CERTIFICATE_LOCATION, settings.KAFKA_SSL_KEY_LOCATION or None
        )
    return context


def credentials() -> Credentials | None:
    """None where the protocol has no SASL."""
    if not uses_sasl():
        return None
    return Credentials(
        settings.KAFKA_SASL_MECHANISM, settings.KAFKA_SASL_USERNAME, settings.KAFKA_SASL_PASSWORD
    )


def uses_tls() -> bool:
    return settings.KAFKA_SECURITY_PROTOCOL in ("SSL", "SASL_SSL")


def uses_sasl() -> bool:
    return settings.KAFKA_SECURITY_PROTOCOL in ("SASL_PLAINTEXT", "SASL_SSL")
