"""`manage.py send_pageview`: send one page view through the public API."""

import json
from contextlib import closing
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingest.track_client import TrackClient, TrackError


class Command(BaseCommand):
    help = "Send one page view and show the answer: 202 means that Kafka has it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--page-url", default="/", help="the page: a path or an address")
        parser.add_argument("--site", help="the site id; default: the default site")
        parser.add_argument("--user-id", help="whose page view it is")
        parser.add_argument("--event-id", help="an id that makes sending it again safe")
        parser.add_argument("--name", help="a custom event's name instead of a page view")
        parser.add_argument("--referrer", help="where the visitor came from")
        parser.add_argument("--timestamp", help="when it happened, ISO 8601; default: now")
        parser.add_argument("--url", default=settings.PUBLIC_URL, help="where the tracker is")

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("page_url", "site", "user_id", "event_id", "name", "referrer", "timestamp")
        event = {name: options[name] for name in names if options[name] is not None}
        try:
            with closing(TrackClient(options["url"], tries=3)) as client:
                answer = client.track(event)
        except TrackError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(json.dumps(answer))
