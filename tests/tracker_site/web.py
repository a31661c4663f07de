"""`manage.py serve` and `manage.py gateway` in processes of their own."""

import json
import socket
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tracker_site.embedded.child import Child, manage
from tracker_site.embedded.servers import free_port


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Any


class Web(Child):
    """The web process with `settings`; ready once it answers."""

    arguments: tuple[str, ...] = ("serve",)

    def __init__(self, directory: Path, settings: dict[str, str], port: int | None = None) -> None:
        port = port or free_port()
        defaults = {"DATA_DIR": str(directory), "LOG_FORMAT": "text"}
        command = manage(*self.arguments, "--port", str(port))
        super().__init__(self.arguments[0], command, defaults | settings, directory)
        self.port = port

    def probe(self) -> bool:
        try:
            return self.get("/livez", as_json=False).status == 200
        except OSError:
            return False

    def get(self, path: str, as_json: bool = True, **headers: str) -> Answer:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=15)) as connection:
            connection.request("GET", path, headers=headers)
            return read_answer(connection, as_json)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=15)


class Gateway(Web):
    """The fast door, in one process under its supervisor."""

    arguments: tuple[str, ...] = ("gateway",)


def read_answer(connection: HTTPConnection, as_json: bool = True) -> Answer:
    response = connection.getresponse()
    body = response.read()
    return Answer(response.status, json.loads(body) if as_json else body, response.headers)
