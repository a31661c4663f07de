"""An S3 server for the tests: moto, in a process of its own."""

import contextlib
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from pyarrow.fs import FileSystem

from tracker_site.embedded.servers import Server

# What the clients, here and in the processes that a test starts, log in with.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class S3Server(Server):
    """Its buckets live in memory and go with the process."""

    name = "s3"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def probe(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def new_bucket(self) -> str:
        """The URL of a folder in a new, empty bucket."""
        return self.make_bucket(f"bucket-{uuid.uuid4().hex[:8]}")

    def make_bucket(self, bucket: str) -> str:
        options = f"endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"
        filesystem, _ = FileSystem.from_uri(f"s3://{bucket}?{options}&allow_bucket_creation=true")
        filesystem.create_dir(bucket)
        return f"s3://{bucket}/raw?{options}"


@contextmanager
def cut_after(port: int, most: int) -> Iterator[int]:
    """A port that passes on to `port`, until the connections have sent `most` bytes in all;
    then it cuts them and takes no more."""
    left = most
    threads: list[threading.Thread] = []

    def pass_on(source: socket.socket, target: socket.socket, limited: bool) -> None:
        nonlocal left
        with contextlib.suppress(OSError):
            while left > 0 and (data := source.recv(65_536)):
                left -= len(data) if limited else 0
                target.sendall(data)
        for end in (source, target) if left > 0 else (source, target, listener):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with contextlib.ExitStack() as connections, contextlib.suppress(OSError):
            while left > 0:
                client = connections.enter_context(listener.accept()[0])
                server = connections.enter_context(socket.create_connection(("127.0.0.1", port)))
                pairs = ((client, server, True), (server, client, False))
                passing = [threading.Thread(target=pass_on, args=pair) for pair in pairs]
                threads.extend(passing)
                for thread in passing:
                    thread.start()
            for thread in threads:
                thread.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield listener.getsockname()[1]
        finally:
            left = 0
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            serving.join()
