"""The database, in processes that outlive its connections."""

from collections.abc import Callable
from typing import TypeVar

from django.db import close_old_connections, connection

Found = TypeVar("Found")


def read_afresh(read: Callable[[], Found]) -> Found:
    """What `read` finds, by a connection that is not older than it may be."""
    if not connection.in_atomic_block:  # a transaction's connection is not ours to close
        close_old_connections()
    return read()
