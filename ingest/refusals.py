"""Why a request is not accepted: one exception, one JSON shape, for every door."""

from typing import Any

_SHOWN_CHARACTERS = 100
# Of what every refusal answers, for the OpenAPI document.
ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["field", "value", "reason"],
            "properties": {
                "field": {"type": ["string", "null"]},
                "value": {"description": "As it was sent, cut where it is long."},
                "reason": {"type": "string"},
            },
        }
    },
}


class Refusal(Exception):
    """Raised when an event or a request is refused; nothing of it was accepted.

    `status` is the HTTP status; `field` names what is at fault, in the sender's terms, if it is
    something that was sent. After `retry_after` seconds it may be sent again.
    """

    def __init__(
        self,
        status: int,
        field: str | None,
        value: object,
        reason: str,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.retry_after = retry_after
        self.status = status
        self.field = field
        self.value = value
        self.reason = reason

    def as_json(self) -> dict[str, Any]:
        return {"field": self.field, "value": _shown(self.value), "reason": self.reason}


def _shown(value: object) -> object:
    """The value as it was sent, cut where it is long."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
