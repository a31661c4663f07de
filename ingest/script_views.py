"""Serves the tracker script, to pages of every origin."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from ingest.doors.views import read_request
from ingest.reply_response import response_of
from ingest.script_reply import script_reply
from ingest.tracker_script import tracker_script


# What is not got changes nothing here either: it is told so as every other method is.
@csrf_exempt
def script(request: HttpRequest, name: str) -> HttpResponse:
    """`/js/<name>`."""
    found = tracker_script(name, settings.DUPLICATE_WINDOW_MINUTES)
    return response_of(script_reply(found, read_request(request, b"")))
