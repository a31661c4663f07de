"""`python -m tests.chaos.gateway PORT`: a gateway process without its supervisor, so that faults
hit the one that takes events."""

import os
import socket
import sys

from ingest.gateway.__main__ import main

if __name__ == "__main__":
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen()
    alive, _never_closed = os.pipe()
    _nobody, ready = os.pipe()
    main(listener.detach(), alive, ready)
