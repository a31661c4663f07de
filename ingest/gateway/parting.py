"""A listening socket that takes in nobody new, so that it can be closed without a loss."""

import ctypes
import logging
import socket
import struct
import sys

logger = logging.getLogger(__name__)

_SO_ATTACH_FILTER = 26
# struct sock_filter: code, jump if true, jump if false, value. A packet begins with the TCP header.
_PROGRAM = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # of them SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone asks for a new connection
    (0x06, 0, 0, 0),  # which is not heard; it is asked again after a second
    (0x06, 0, 0, 0xFFFF_FFFF),  # everything else is
)


def take_in_nobody(listener: socket.socket) -> None:
    """Connections that are being made now are still made, and can be accepted; later ones are
    not begun. Without this one that is made between the last `accept` and `close` would be reset,
    with the request that it may have brought. Elsewhere than on Linux nothing happens."""
    if sys.platform != "linux":
        return
    filters = b"".join(struct.pack("HBBI", *instruction) for instruction in _PROGRAM)
    buffer = ctypes.create_string_buffer(filters)
    # struct sock_fprog: how many, where.
    program = struct.pack("HP", len(_PROGRAM), ctypes.addressof(buffer))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError as error:
        logger.debug("New connections can't be held off: %s", error)
