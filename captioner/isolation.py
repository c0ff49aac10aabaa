"""Decoding in a child process, for images that may take too long, too much memory, or the process.

The child is `python -m captioner.isolation FD`: a fresh interpreter, since to fork a process with
threads isn't safe, and one that imports the user's program again isn't wanted. Parent and child
talk over a pair of sockets. A message is the length of its header and of its body, each of four
bytes, big-endian; the header, JSON; the body, bytes. A request is `{"size", "limits"}` and the
file, the answer `{"width", "height"}` and the pixels, or `{"reason", "message"}`. For a frame of a
film it is `{"size", "limits", "film", "seconds"}`, and for a film's length `{"limits", "film"}`,
answered by `{"seconds"}`. Before these answers come `{"goes_on", "reading"}`: for how many seconds
it may go on from now, and whether the film's file is read. So it is told as frames before the one
that is wanted are decoded, and around each reading, which doesn't count as decoding: where the
store is away, the film is not to blame.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from captioner import images, videos
from captioner.errors import UserError
from captioner.images import LIMITS, DecodedImage, ImageError, Limits, Reason
from captioner.threads import Clock

# For the child's start, which no image is to blame for.
_SECONDS_TO_START = 300.0
# For a single reading of a film's file, in which a store's client may try again for minutes.
_SECONDS_TO_READ = 600.0
# Beyond what an image may take: the interpreter and its libraries, and the file in two copies.
_MEMORY_OF_ITS_OWN = 1 << 30
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE,
            signal.SIGTRAP, signal.SIGSYS}  # fmt: skip
# No core file, this much address space, and the first to go where the machine's memory ends.
_SHELL = """
ulimit -c 0 2>/dev/null
ulimit -v {kilobytes} 2>/dev/null
echo 1000 2>/dev/null >/proc/self/oom_score_adj
exec "$@"
"""


class IsolatedDecoder:
    """Decodes one image at a time in a child process, which it starts when first needed.

    The child serves image after image. One that crashes it, or takes too long and is ended with
    it, costs itself alone: the next gets a fresh child. The child ends with its parent, however
    that ends. Safe to call from many threads, which wait for each other.

    Args:
        limits: what is refused.
        command: starts the child; the number of its socket is appended to it.
    """

    def __init__(self, limits: Limits = LIMITS, command: Sequence[str] | None = None) -> None:
        self._limits = limits
        self._command = command or (sys.executable, "-P", "-m", "captioner.isolation")
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def decode(self, data: bytes, size: int) -> DecodedImage:
        """The same as `images.decode`, pixel by pixel.

        Raises:
            ImageError: as `images.decode`, or the child took too long or died of the image.
            OSError: the child doesn't start, or was ended by somebody else; the image is as it was.
        """
        return _image(size, *self._request({"size": size}, data))

    def decode_frame(self, film: str, seconds: float, size: int) -> DecodedImage:
        """The same as `videos.frame_at`.

        The limit of time is from one frame to the next, and leaves out reading.

        Raises:
            ImageError: as `decode`; the store's errors too, as `missing` or `unreadable`.
            OSError: as `decode`.
        """
        request = {"film": film, "seconds": seconds, "size": size}
        return _image(size, *self._request(request, b""))

    def length(self, film: str) -> float:
        """The same as `videos.Film.length`, of the film at a URI.

        Raises:
            ImageError, OSError: as `decode_frame`.
        """
        answer, _ = self._request({"film": film}, b"")
        return answer["seconds"]

    def close(self) -> None:
        """End the child. A later call of `decode` starts another."""
        with self._lock:
            self._end()

    def _request(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        with self._lock:
            if self._child and self._child.used:
                try:
                    return self._ask(request, data)
                except _ChildDied:  # perhaps of what an earlier image left: a fresh one will tell
                    pass
            try:
                return self._ask(request, data)
            except _ChildDied as death:
                raise death.blame() from None

    def _ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        self._child = self._child or _Child(self._command, self._limits)
        try:
            answer, body = self._child.ask(request, data)
        except BaseException:  # also an interrupt, after which the answer would still be to come
            self._end()
            raise
        if "reason" in answer:
            raise ImageError(Reason(answer["reason"]), answer["message"])
        return answer, body

    def _end(self) -> None:
        child, self._child = self._child, None
        if child:
            child.end()


@functools.cache
def shared() -> IsolatedDecoder:
    """The process's own: who decodes by it decodes one image at a time."""
    return IsolatedDecoder()


def _image(size: int, answer: dict[str, Any], body: bytes) -> DecodedImage:
    pixels = np.frombuffer(body, np.uint8).reshape(size, size, 3).copy()
    return DecodedImage(pixels, answer["width"], answer["height"])


class _ChildDied(Exception):
    """Without an answer, by `status` as `subprocess` has it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def blame(self) -> Exception:
        """What to tell of it: that of the image, unless somebody ended the child on purpose."""
        if -self.status in _CRASHES:
            name = signal.Signals(-self.status).name
            return ImageError(Reason.CRASHED, f"the process that decoded it died of {name}")
        if -self.status == signal.SIGALRM:
            return ImageError(Reason.TIMED_OUT, "decoding it took too long")
        return OSError(f"the process that decoded it was ended: exit status {self.status}")


class _Child:
    """A child process and the way to talk to it."""

    def __init__(self, command: Sequence[str], limits: Limits) -> None:
        self.used = False
        self._limits = limits
        self._socket, its_socket = socket.socketpair()
        kilobytes = (limits.memory + _MEMORY_OF_ITS_OWN) // 1024
        shell = ("/bin/sh", "-c", _SHELL.format(kilobytes=kilobytes), "sh")
        with its_socket:
            try:
                self._process = _start([*shell, *command], its_socket)
            except OSError as error:  # FileNotFoundError would be taken for the image's
                self._socket.close()
                raise OSError(f"the process for decoding doesn't start: {error}") from error
        self._wait_for_start()

    def ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """The answer to a request.

        Raises:
            ImageError: it takes too long, or its reading does.
            _ChildDied: it died of the request.
        """
        self.used = True
        seconds, answer = self._limits.seconds, {}
        deadline = time.monotonic() + seconds
        try:
            limits = dataclasses.asdict(self._limits)
            _send(self._socket, {**request, "limits": limits}, data, deadline)
            answer, body = _receive(self._socket, deadline)
            while "goes_on" in answer:
                answer, body = _receive(self._socket, time.monotonic() + answer["goes_on"])
            return answer, body
        except TimeoutError:
            if answer.get("reading"):
                message = f"reading it took over {answer['goes_on']:g} seconds"
                raise ImageError(Reason.UNREADABLE, message) from None
            message = f"decoding it took over {seconds:g} seconds"
            raise ImageError(Reason.TIMED_OUT, message) from None
        except (EOFError, ConnectionError):
            raise _ChildDied(self.end()) from None

    def end(self) -> int:
        """End the process; how it ended, which may have been by itself."""
        self._socket.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self._process.wait()

    def _wait_for_start(self) -> None:
        try:
            _receive(self._socket, time.monotonic() + _SECONDS_TO_START)
        except (EOFError, OSError):
            self._process.kill()
            message = f"the process for decoding doesn't start: exit status {self.end()}"
            raise OSError(message) from None


def _start(command: Sequence[str], its_socket: socket.socket) -> subprocess.Popen:
    return subprocess.Popen(
        [*command, str(its_socket.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=_environment(),
        pass_fds=[its_socket.fileno()],
        start_new_session=True,  # else a Ctrl-C in the terminal looks like a crash
    )


def _environment() -> dict[str, str]:
    """Lets the child import what the parent can, and start no threads for arithmetic."""
    path = [str(Path(__file__).resolve().parents[1]), *filter(None, sys.path)]
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **one, "PYTHONPATH": os.pathsep.join(path)}


def _send(
    connection: socket.socket, header: dict[str, Any], body: bytes, deadline: float | None = None
) -> None:
    text = json.dumps(header).encode()
    for part in (struct.pack(">II", len(text), len(body)) + text, body):
        _limit(connection, deadline)
        connection.sendall(part)


def _receive(
    connection: socket.socket, deadline: float | None = None
) -> tuple[dict[str, Any], bytes]:
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


# In the child


def main(descriptor: int) -> None:
    """Answer requests until the parent is gone."""
    connection = socket.socket(fileno=descriptor)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # libraries' remarks on single images; up to here, our own
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _send(connection, {"ready": True}, b"")
    while True:
        try:
            request, data = _receive(connection)
        except EOFError:
            return
        clock = _ToldClock(request["limits"]["seconds"], connection)
        with clock:
            answer = _answer(request, data, clock)
        _send(connection, *answer)
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
        _send(self._connection, {"goes_on": seconds, "reading": reading}, b"")


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


if __name__ == "__main__":
    main(int(sys.argv[1]))
