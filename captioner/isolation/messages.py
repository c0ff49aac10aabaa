"""Messages between parent and child: a header, JSON, and a body, bytes, over a socket."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any


def send(
    connection: socket.socket, header: dict[str, Any], body: bytes, deadline: float | None = None
) -> None:
    """Send a message, by a time of `time.monotonic` if one is given.

    Raises:
        TimeoutError: it isn't taken by then.
        ConnectionError: the other is gone.
    """
    text = json.dumps(header).encode()
    for part in (struct.pack(">II", len(text), len(body)) + text, body):
        _limit(connection, deadline)
        connection.sendall(part)


def receive(
    connection: socket.socket, deadline: float | None = None
) -> tuple[dict[str, Any], bytes]:
    """Wait for a message, to a time of `time.monotonic` if one is given; its header and body.

    Raises:
        TimeoutError: there is none by then.
        EOFError, ConnectionError: the other is gone.
    """
    lengths = struct.unpack(">II", _exactly(connection, 8, deadline))
    text, body = (_exactly(connection, length, deadline) for length in lengths)
    return json.loads(text), body


def _exactly(connection: socket.socket, count: int, deadline: float | None) -> bytes:
    found = bytearray(count)
    view = memoryview(found)
    while view:
        _limit(connection, deadline)
        received = connection.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return bytes(found)


def _limit(connection: socket.socket, deadline: float | None) -> None:
    if deadline is not None:
        # None at all would mean not to wait, which is another error.
        connection.settimeout(max(0.001, deadline - time.monotonic()))
