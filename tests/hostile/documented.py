"""The OpenAPI document: requests that schemathesis makes of it, and answers held against it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response

from tests.hostile.hostile_requests import Request
from tests.hostile.hostile_values import Header
from tests.hostile.product import SITE
from tests.hostile.wire import Answer

_BASE = "http://localhost"
# Of the first event that a session sends.
RECEIPT = "0-0"
# Said by the library of itself; the last are ours to say.
_DROPPED = {"connection", "content-length", "host", "accept-encoding", "x-schemathesis-testcaseid"}


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    of_document: Any

    @property
    def label(self) -> str:
        return str(self.of_document.label)

    @property
    def needs_key(self) -> bool:
        return bool(self.of_document.definition.raw.get("security"))

    def requests(self, who: st.SearchStrategy[tuple[Header, ...]]) -> st.SearchStrategy[Request]:
        """What the document allows, and what it does not."""
        cases = st.one_of(
            *(self.of_document.as_strategy(generation_mode=mode) for mode in GenerationMode)
        )
        return st.builds(_request, cases, who, st.booleans())

    def complaint(self, answer: Answer) -> str | None:
        """How the answer differs from what the document says of it."""
        responses = self.of_document.responses
        documented = responses.find_by_status_code(answer.status)
        if documented is None:
            return f"status {answer.status} is not documented"
        content_types = self.of_document.schema.get_content_types(
            self.of_document, response := _response(answer)
        )
        said = answer.header("content-type").partition(";")[0]
        if said not in content_types:
            return f"{answer.status} of type {said!r} is not documented, but {content_types}"
        if said != "application/json":
            return None
        try:
            self.of_document.validate_response(response)
        except (FailureGroup, AssertionError) as error:
            shown = getattr(error, "exceptions", [error])
            return "; ".join(str(one) for one in shown)
        return None


def operations(document: dict[str, Any]) -> dict[str, Operation]:
    """By method and path, such as `GET /api/v1/ledger`."""
    schema = schemathesis.openapi.from_dict(document)
    # Who asks is drawn here, where there are keys.
    schema.config.generation.update(with_security_parameters=False)
    found = [
        Operation(result.ok()) for result in schema.get_all_operations() if isinstance(result, Ok)
    ]
    return {operation.label: operation for operation in found}


def _request(case: Any, who: tuple[Header, ...], at_home: bool) -> Request:
    """`at_home`: of a site and an event that there are, which no document could know."""
    if at_home:
        _bring_home(case)
    sent = requests.Request(**case.as_transport_kwargs(base_url=_BASE)).prepare()
    url = urlsplit(sent.url or "")
    target = url.path + (f"?{url.query}" if url.query else "")
    headers = tuple(
        (_bytes(name), _bytes(value))
        for name, value in sent.headers.items()
        if name.lower() not in _DROPPED
    )
    body = sent.body or b""
    assert isinstance(body, str | bytes)
    data = body.encode() if isinstance(body, str) else body
    request = Request(sent.method or "", target.encode("latin-1"), (*headers, *who), data)
    return request.signed() if at_home and url.path == "/api/v1/import" else request


def _bring_home(case: Any) -> None:
    for parameters in (case.path_parameters, case.query):
        for name, right in (("site", SITE), ("receipt", RECEIPT)):
            if parameters and name in parameters:
                parameters[name] = right
    if isinstance(case.body, dict):
        events = case.body.get("events")
        for event in events if isinstance(events, list) else [case.body]:
            if isinstance(event, dict):
                event["site"] = SITE


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _response(answer: Answer) -> Response:
    request = requests.Request("GET", _BASE).prepare()
    return Response(answer.status, answer.headers, answer.body, request, 0.0, verify=False)
