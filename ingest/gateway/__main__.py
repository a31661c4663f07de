"""`python -m ingest.gateway LISTENER ALIVE READY`: one gateway process, started by
`ingest.gateway.supervisor` with three descriptors."""

import os
import socket
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tracker_site.daemon_settings"


def main(listener: int, alive: int, ready: int) -> None:
    django.setup()
    from ingest.gateway import worker

    def tell_ready() -> None:
        os.write(ready, b"1")
        os.close(ready)

    worker.run(socket.socket(fileno=listener), alive, tell_ready)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
