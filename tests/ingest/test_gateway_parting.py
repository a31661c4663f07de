"""A listening socket before it is closed."""

import socket
import sys

import pytest

from ingest.gateway.parting import take_in_nobody

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that can do this")


def test_who_waits_is_taken_in_and_nobody_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address, timeout=10) as early:
            early.sendall(b"question")
            take_in_nobody(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(100) == b"question"
                accepted.sendall(b"answer")
                listener.close()
                assert early.recv(100) == b"answer"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=10)
