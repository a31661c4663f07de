"""How the gateway's producer gets to a broker: with TLS and a login, where the settings want it."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka.conn import (
    BaseSaslAuthenticator,
    SaslPlainAuthenticator,
    ScramAuthenticator,
    collect_hosts,
)
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.admin import SaslAuthenticateRequest_v0, SaslHandShakeRequest_v1
from django.conf import settings

from ingest.gateway.link import Link
from ingest.kafka_security import Credentials, credentials, tls_context

_WHY_S = 1.0


class Access:
    """By the settings. Raises `OSError` where a file that they name is none."""

    def __init__(self) -> None:
        self._tls = tls_context()
        self._credentials = credentials()

    async def connect(self, host: str, port: int, make: Callable[[], Link]) -> Link:
        """A link that the broker lets us send over. Raises `OSError` with what it says where it
        does not."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(make, host, port, ssl=self._tls)
        if self._credentials is not None:
            try:
                await _authenticate(link, self._credentials)
            except BaseException:
                link.abort("the broker does not let us in")
                raise
        return link

    async def why_not(self, bootstrap_servers: str) -> str:
        """What keeps us from one of them; aiokafka tells only that none could be asked."""
        host, port, _ = collect_hosts(bootstrap_servers)[0]
        try:
            async with asyncio.timeout(_WHY_S):
                link = await self.connect(host, port, _unused_link)
        except TimeoutError:
            return f"{host}:{port} does not answer"
        except OSError as reason:
            return f"{host}:{port}: {reason}"
        link.abort("it was only asked")
        return f"{host}:{port} was away a moment ago"

    def for_aiokafka(self) -> dict[str, Any]:
        """Its client's arguments."""
        known = self._credentials
        given: dict[str, Any] = {
            "security_protocol": settings.KAFKA_SECURITY_PROTOCOL,
            "ssl_context": self._tls,
        }
        if known is not None:
            given["sasl_mechanism"] = known.mechanism
            given["sasl_plain_username"] = known.username
            given["sasl_plain_password"] = known.password
        return given


def _unused_link() -> Link:
    return Link(lambda *_: None, lambda *_: None)


async def _authenticate(link: Link, credentials: Credentials) -> None:
    """Before anything else is sent over a link (KIP-152)."""
    mechanism = credentials.mechanism
    answer = await link.ask(SaslHandShakeRequest_v1(mechanism))
    if for_code(answer.error_code) is not NoError:
        offered = ", ".join(answer.enabled_mechanisms)
        raise OSError(f"it does not take KAFKA_SASL_MECHANISM={mechanism}, but {offered}")
    steps = _steps(credentials)
    said = None
    while (step := await _next(steps, said)) is not None:
        answer = await link.ask(SaslAuthenticateRequest_v0(step))
        if for_code(answer.error_code) is not NoError:
            raise OSError(f"it refuses the user {credentials.username!r}: {answer.error_message}")
        said = answer.sasl_auth_bytes


def _steps(credentials: Credentials) -> BaseSaslAuthenticator:
    known = {
        "loop": asyncio.get_running_loop(),
        "sasl_plain_username": credentials.username,
        "sasl_plain_password": credentials.password,
    }
    if credentials.mechanism == "PLAIN":
        return SaslPlainAuthenticator(**known)
    return ScramAuthenticator(**known, sasl_mechanism=credentials.mechanism)


async def _next(steps: Any, said: bytes | None) -> bytes | None:
    """What to send next; None: nothing. SCRAM proves the broker, too."""
    try:
        step = await steps.step(said)
    except ValueError as error:
        raise OSError(f"it could not prove that it knows our password: {error}") from None
    return None if step is None else step[0]
