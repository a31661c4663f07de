"""The answer to what Django itself refuses, such as host names that are not ours."""

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from ingest.door import refused
from ingest.refusals import Refusal


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler400`: the log says nothing of it, so the answer does."""
    if isinstance(exception, DisallowedHost):
        reason = "not answered here; ALLOWED_HOSTS names those that are"
        refusal = Refusal(400, "Host", request.META.get("HTTP_HOST"), reason)
    else:
        refusal = Refusal(400, None, None, "this request can't be read")
    return HttpResponse(refused(refusal).body, "application/json", 400)
