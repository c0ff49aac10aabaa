"""The child: answers one request after the other, until its parent is gone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from captioner import images, videos
from captioner.errors import UserError
from captioner.images import DecodedImage, ImageError, Limits, Reason
from captioner.isolation.messages import receive, send
from captioner.threads import Clock

# For a single reading of a film's file, in which a store's client may try again for minutes.
_SECONDS_TO_READ = 600.0


def main(descriptor: int) -> None:
    """Answer requests until the parent is gone."""
    connection = socket.socket(fileno=descriptor)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # libraries' remarks on single images; up to here, our own
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    send(connection, {"ready": True}, b"")
    while True:
        try:
            request, data = receive(connection)
        except EOFError:
            return
        clock = _ToldClock(request["limits"]["seconds"], connection)
        with clock:
            answer = _answer(request, data, clock)
        send(connection, *answer)
        signal.alarm(0)


class _ToldClock(Clock):
    """A clock that tells the parent how long it may take, as that changes."""

    def __init__(self, seconds: float, connection: socket.socket) -> None:
        super().__init__(seconds)
        self._connection = connection
        self._until = time.monotonic() + seconds  # as the parent knows it
        _set_alarm(seconds)

    def restart(self) -> None:
        super().restart()
        gained = time.monotonic() + self.seconds - self._until
        if gained > self.seconds / 10:  # so that it isn't told of each of thousands of frames
            self._tell(self.seconds)

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        self._tell(_SECONDS_TO_READ, reading=True)
        try:
            with super().pause():
                yield
        finally:
            self._tell(self.left())

    def _tell(self, seconds: float, reading: bool = False) -> None:
        self._until = time.monotonic() + seconds
        _set_alarm(seconds)
        send(self._connection, {"goes_on": seconds, "reading": reading}, b"")


def _set_alarm(seconds: float) -> None:
    """Where the parent is gone and the decoder holds the interpreter, this is what ends it."""
    signal.alarm(max(0, int(seconds)) + 10)


def _end_with_parent(connection: socket.socket) -> None:
    poll = select.poll()
    poll.register(connection, 0)  # to be told of nothing but the other end's closing
    poll.poll()
    os._exit(0)


def _answer(request: dict[str, Any], data: bytes, clock: Clock) -> tuple[dict[str, Any], bytes]:
    try:
        if "size" not in request:
            with videos.opened(request["film"], clock=clock) as film:
                return {"seconds": film.length()}, b""
        decoded = _decoded(request, data, clock)
    except ImageError as error:
        return {"reason": error.reason, "message": str(error)}, b""
    except FileNotFoundError as error:
        return {"reason": Reason.MISSING, "message": str(error)}, b""
    except (OSError, UserError) as error:  # a film is read here, from wherever it is
        return {"reason": Reason.UNREADABLE, "message": str(error)}, b""
    except MemoryError:  # `decode` names its own; this is for what it names them with
        return {"reason": Reason.TOO_LARGE, "message": "decoding it takes too much memory"}, b""
    return {"width": decoded.width, "height": decoded.height}, decoded.pixels.tobytes()


def _decoded(request: dict[str, Any], data: bytes, clock: Clock) -> DecodedImage:
    if "film" in request:
        return videos.frame_at(request["film"], request["seconds"], request["size"], clock)
    return images.decode(data, request["size"], Limits(**request["limits"]))
