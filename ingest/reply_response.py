"""A reply as a response of Django's."""

from django.http import HttpResponse

from ingest.reply import Reply


def response_of(reply: Reply) -> HttpResponse:
    response = HttpResponse(reply.body, reply.content_type or None, reply.status)
    if not reply.content_type:
        del response["Content-Type"]
    for name, value in reply.headers:
        response[name] = value
    return response
