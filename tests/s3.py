"""An S3 server for the tests: moto, in a process of its own."""

import socket
import sys
import uuid

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
