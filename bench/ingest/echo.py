"""The least that Granian can do: read the body, answer 202. What a door does comes on top."""

from typing import Any

_HEADERS = [("content-type", "application/json")]
_ANSWER = '{"status":"accepted","id":"00000000-0000-4000-8000-000000000000","receipt":"0-0"}'


async def application(_: Any, protocol: Any) -> None:
    """RSGI."""
    await protocol()
    protocol.response_str(202, _HEADERS, _ANSWER)
