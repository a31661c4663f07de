"""`python -m bench.ingest.our_echo PORT`: the gateway's server with nothing behind it."""

import asyncio
import os
import socket
import sys

import django
import uvloop

os.environ["DJANGO_SETTINGS_MODULE"] = "tracker_site.daemon_settings"
django.setup()

from ingest.gateway.connection import JSON, Request  # noqa: E402
from ingest.gateway.server import Server  # noqa: E402

ANSWER = b'{"status":"accepted"}'


def answer(request: Request) -> None:
    request.answer(202, JSON, ANSWER)


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4_096)
    uvloop.run(Server(answer, 2 * 2**20).serve(listener, asyncio.Event()))
