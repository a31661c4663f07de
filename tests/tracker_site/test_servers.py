"""Ports of servers that start beside each other, as two test processes do."""

import socket

from tracker_site.embedded.servers import free_port


def test_a_port_is_given_once() -> None:
    ports = [free_port() for _ in range(3_000)]
    assert len(set(ports)) == len(ports)


def test_a_server_may_listen_on_its_port() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port
