"""The parent: starts the child, asks it, and tells what became of it."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from captioner.images import LIMITS, DecodedImage, ImageError, Limits, Reason
from captioner.isolation.messages import receive, send

# For the child's start, which no image is to blame for.
_SECONDS_TO_START = 300.0
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

    def decode_frame(
        self, film: str, seconds: float, size: int, within: float = math.inf
    ) -> DecodedImage:
        """The same as `videos.frame_at`.

        The limit of time is from one frame to the next, and leaves out reading.

        Args:
            within: so many seconds, reading and all frames before it included.

        Raises:
            ImageError: as `decode`; the store's errors too, as `missing` or `unreadable`.
            OSError: as `decode`.
        """
        request = {"film": film, "seconds": seconds, "size": size}
        return _image(size, *self._request(request, b"", within))

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

    def _request(
        self, request: dict[str, Any], data: bytes, within: float = math.inf
    ) -> tuple[dict[str, Any], bytes]:
        with self._lock:
            if self._child and self._child.used:
                try:
                    return self._ask(request, data, within)
                except _ChildDied:  # perhaps of what an earlier image left: a fresh one will tell
                    pass
            try:
                return self._ask(request, data, within)
            except _ChildDied as death:
                raise death.blame() from None

    def _ask(
        self, request: dict[str, Any], data: bytes, within: float
    ) -> tuple[dict[str, Any], bytes]:
        self._child = self._child or _Child(self._command, self._limits)
        try:
            answer, body = self._child.ask(request, data, within)
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

    def ask(
        self, request: dict[str, Any], data: bytes, within: float
    ) -> tuple[dict[str, Any], bytes]:
        """The answer to a request.

        Args:
            within: so many seconds, however often the child says that it goes on.

        Raises:
            ImageError: it takes too long, or its reading does.
            _ChildDied: it died of the request.
        """
        self.used = True
        seconds, answer = self._limits.seconds, {}
        until = time.monotonic() + within
        deadline = min(until, time.monotonic() + seconds)
        try:
            limits = dataclasses.asdict(self._limits)
            send(self._socket, {**request, "limits": limits}, data, deadline)
            answer, body = receive(self._socket, deadline)
            while "goes_on" in answer:
                deadline = min(until, time.monotonic() + answer["goes_on"])
                if deadline <= time.monotonic():  # a message may be there all the same
                    raise TimeoutError
                answer, body = receive(self._socket, deadline)
            return answer, body
        except TimeoutError:
            if answer.get("reading") and time.monotonic() < until:
                message = f"reading it took over {answer['goes_on']:g} seconds"
                raise ImageError(Reason.UNREADABLE, message) from None
            message = f"decoding it took over {min(seconds, within):g} seconds"
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
            receive(self._socket, time.monotonic() + _SECONDS_TO_START)
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
    path = [str(Path(__file__).resolve().parents[2]), *filter(None, sys.path)]
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **one, "PYTHONPATH": os.pathsep.join(path)}
