"""What an import tells of its events that is otherwise found out at ingest: from the user agent and
the address, which are in no export. Pure.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ingest.enrichment.agent import MAX_NAME
from ingest.pageview import PageView
from ingest.refusals import Refusal

_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]


class Known(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Fields of `PageView`, under its names and with its values."""

    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")] | None = None
    region: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    browser: _Name | None = None
    browser_version: _Name | None = None
    os: _Name | None = None
    os_version: _Name | None = None
    device: Literal["desktop", "mobile", "tablet", "tv", "console"] | None = None


class _Event(msgspec.Struct):
    known: Known = Known()


class _Batch(msgspec.Struct):
    events: list[_Event]


_decoder = msgspec.json.Decoder(_Batch)


def read_known(body: bytes) -> list[Known]:
    """Of each event of a batch that `read_batch` can read: what is in its field `known`. Raises
    `Refusal` (400) for all of them when one is wrong."""
    try:
        return [event.known for event in _decoder.decode(body).events]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "events", None, f"what is known of the events: {error}") from None


def known_schema() -> dict[str, Any]:
    """Its JSON schema, for the OpenAPI document."""
    (_,), definitions = msgspec.json.schema_components([Known])
    schema: dict[str, Any] = definitions["Known"]
    return schema


def with_known(event: PageView | Refusal, known: Known) -> PageView | Refusal:
    """What is told takes the place of what was found out."""
    told: dict[str, Any] = msgspec.to_builtins(known)
    return event if isinstance(event, Refusal) else msgspec.structs.replace(event, **told)
