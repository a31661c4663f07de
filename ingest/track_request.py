"""What a sender may put into one event, and how it is read. Pure.

`TrackRequest` is the one description of the request: it decodes, validates and gives the
OpenAPI document its schema.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ingest.refusals import Refusal

MAX_BATCH_EVENTS = 1_000
_MOST_INT = 2**53
_MOST_QUEUE_MS = 30 * 86_400_000

PropName = Annotated[str, Meta(min_length=1, max_length=100)]
PropValue = (
    Annotated[str, Meta(max_length=500)]
    | Annotated[int, Meta(ge=-_MOST_INT, le=_MOST_INT)]
    | float
    | bool
    | None
)


class TrackRequest(msgspec.Struct):
    """One event as a sender writes it. Fields that are not listed here are ignored."""

    page_url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4_096,
            description="The page: an absolute http(s) address or a path that begins with “/”. Of "
            "the query only `utm_*`, `ref` and what the site's path rules name are kept.",
            examples=["/home", "https://example.com/pricing?utm_source=news"],
        ),
    ]
    user_id: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=256,
                description="Whose page view it is, in your terms; kept only as a keyed hash. "
                "Without it the visitor is told by a daily hash of address and browser.",
                examples=["user123"],
            ),
        ]
        | Annotated[int, Meta(ge=-_MOST_INT, le=_MOST_INT)]
        | None
    ) = None
    timestamp: Annotated[
        int | float | str | None,
        Meta(
            description="When it happened: Unix seconds, Unix milliseconds or ISO 8601 (UTC where "
            "it names no offset). Missing: now.",
            examples=[1730814562],
        ),
    ] = None
    queue_time: (
        Annotated[
            int,
            Meta(
                ge=-_MOST_INT,
                le=_MOST_QUEUE_MS,
                description="Where there is no timestamp: how many milliseconds ago it happened, "
                "right even where the sender's clock is wrong. Less than 0, as after a clock was "
                "set back, is 0.",
                examples=[1500],
            ),
        ]
        | None
    ) = None
    site: (
        Annotated[
            str,
            Meta(
                min_length=1, max_length=100, description="The site id. Missing: the default site."
            ),
        ]
        | None
    ) = None
    event_id: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=128,
                description="Your id of this event. An event sent again with the same id is "
                "counted once. Missing: one is made, and sending again counts again.",
            ),
        ]
        | None
    ) = None
    name: Annotated[
        str, Meta(min_length=1, max_length=100, description="`pageview`, or a custom event's name.")
    ] = "pageview"
    title: Annotated[str, Meta(max_length=1_000, description="The page's title.")] | None = None
    referrer: (
        Annotated[str, Meta(max_length=4_096, description="Where the visitor came from.")] | None
    ) = None
    props: Annotated[
        dict[PropName, PropValue],
        Meta(max_length=30, description="Up to 30 properties: texts, numbers, true or false."),
    ] = msgspec.field(default_factory=dict)
    screen: (
        Annotated[str, Meta(max_length=20, description="Screen size.", examples=["1920x1080"])]
        | None
    ) = None
    language: (
        Annotated[str, Meta(max_length=35, description="Browser language.", examples=["en-GB"])]
        | None
    ) = None
    time_zone: (
        Annotated[
            str,
            Meta(
                max_length=64, description="Browser time zone (IANA).", examples=["Europe/Berlin"]
            ),
        ]
        | None
    ) = None
    headless: Annotated[
        bool | None,
        Meta(
            description="True: the browser is steered by a program, as `navigator.webdriver` "
            "tells; the page view is counted as a bot's."
        ),
    ] = None


class _Batch(msgspec.Struct):
    events: list[TrackRequest]


class _RawBatch(msgspec.Struct):
    events: list[msgspec.Raw]


_event_decoder = msgspec.json.Decoder(TrackRequest)
_batch_decoder = msgspec.json.Decoder(_Batch)
_raw_batch_decoder = msgspec.json.Decoder(_RawBatch)


def read_event(body: bytes | msgspec.Raw) -> TrackRequest:
    """Raises `Refusal` (400) naming the first field at fault."""
    try:
        return _event_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _explain(body, error) from None


def read_fields(fields: Mapping[str, Any]) -> TrackRequest:
    """The same of what was read already. Raises `Refusal` (400)."""
    try:
        return msgspec.convert(fields, TrackRequest)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _refusal(error, fields) from None


def read_batch(body: bytes) -> list[TrackRequest | Refusal]:
    """The events of `{"events": […]}`, each valid or refused. Raises `Refusal` for what is no
    batch."""
    try:
        events: list[TrackRequest | Refusal] = list(_batch_decoder.decode(body).events)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        events = [_try_event(event) for event in _read_raw_batch(body)]
    if not 1 <= len(events) <= MAX_BATCH_EVENTS:
        raise _wrong_size(len(events))
    return events


def _read_raw_batch(body: bytes) -> list[msgspec.Raw]:
    try:
        events = _raw_batch_decoder.decode(body).events
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _explain(body, error) from None
    if len(events) > MAX_BATCH_EVENTS:
        raise _wrong_size(len(events))
    return events


def _try_event(event: msgspec.Raw) -> TrackRequest | Refusal:
    try:
        return read_event(event)
    except Refusal as refusal:
        return refusal


def _wrong_size(events: int) -> Refusal:
    return Refusal(400, "events", events, f"a batch holds 1 to {MAX_BATCH_EVENTS} events; split it")


def _explain(body: bytes | msgspec.Raw, error: Exception) -> Refusal:
    """The decoder's complaint in the sender's terms: `Expected … - at `$.field``."""
    if not isinstance(error, msgspec.ValidationError):
        shown = bytes(body)[:100].decode(errors="replace")
        return Refusal(400, "body", shown, f"the body is not readable as JSON: {error}")
    try:
        sent = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        sent = None  # nothing can hold it, such as 1e999
    return _refusal(error, sent)


def _refusal(error: Exception, sent: Any) -> Refusal:
    """`sent` is what was looked at, if it can be told."""
    reason, _, place = str(error).partition(" - at ")
    # A dictionary's key is told as “`key` in `$.field`”.
    path = place.rpartition("`$")[2].rstrip("`").removeprefix(".")
    if not path and "missing required field" in reason:
        path = reason.rpartition("field `")[2].rstrip("`")
        return Refusal(400, path, None, "this field is required")
    name = path.split(".")[0].split("[")[0]
    value = sent.get(name) if isinstance(sent, dict) else sent
    return Refusal(400, path or "body", value, reason)


def event_schema() -> dict[str, Any]:
    """JSON schema of one event, for the OpenAPI document."""
    (_,), definitions = msgspec.json.schema_components([TrackRequest])
    schema: dict[str, Any] = definitions["TrackRequest"]
    # What the decoder leaves to `enrichment.path`, which says more of what is wrong.
    schema["properties"]["page_url"]["pattern"] = "^(/|[Hh][Tt][Tt][Pp][Ss]?://)"
    return schema


def text_schemas(names: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same of single fields that come as text, as in a query."""
    fields = event_schema()["properties"]
    for name in names:
        kinds = fields[name].get("anyOf", [fields[name]])
        yield name, next(kind for kind in kinds if kind["type"] == "string")
