"""Calls in threads, ahead of where their results are taken; one that is stuck can be left."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol

_OFTEN = 0.01  # seconds from one look at a clock to the next


class Submits(Protocol):
    """What runs calls in threads: `Threads`, or an executor."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        """Have it run; its result is the future's."""


class Threads:
    """A thread pool that can be left while a thread is stuck, which the process's end forgets.

    `ThreadPoolExecutor` waits for its threads when the process ends.
    """

    def __init__(self, count: int) -> None:
        self._calls: queue.SimpleQueue[tuple | None] = queue.SimpleQueue()
        self._count = count
        self._left = False
        for number in range(count):
            threading.Thread(target=self._work, name=f"read-{number}", daemon=True).start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        """Run the call in a thread that is free."""
        future: Future = Future()
        self._calls.put((future, function, arguments))
        return future

    def leave(self) -> None:
        """Begin no other call, and wait for none."""
        self._left = True
        for _ in range(self._count):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) and not self._left:
            future, function, arguments = call
            try:
                future.set_result(function(*arguments))
            except BaseException as error:  # is raised where the result is taken
                future.set_exception(error)


class Clock:
    """How long something goes on that may never end: a `with` block in another thread.

    Args:
        seconds: that it may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # What was counted before, and since when it runs, in one: another thread reads them.
        self._state: tuple[float, float | None] = (0.0, None)

    def __enter__(self) -> None:
        self.restart()

    def __exit__(self, *exception: object) -> None:
        self._state = (0.0, None)

    def restart(self) -> None:
        """Count from now on, as what goes on has come a step further."""
        self._state = (0.0, time.monotonic())

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Stand still for a `with` block, which may take any time."""
        counted, since = self._state
        if since is None:
            yield
            return
        self._state = (counted + time.monotonic() - since, None)
        try:
            yield
        finally:
            self._state = (self._state[0], time.monotonic())

    def left(self) -> float:
        """Seconds until it has taken too long, if it began now where it has not begun."""
        counted, since = self._state
        return self.seconds - counted - (0 if since is None else time.monotonic() - since)


class Stuck(Exception):
    """An image has been decoding in its thread for too long."""


def ahead(
    threads: Submits,
    jobs: Iterator[tuple],
    look_ahead: int,
    result: Callable[..., Any] = lambda future, *arguments: future.result(),
    weigh: Callable[..., int] = lambda *arguments: 1,
) -> Iterator:
    """The results of calls, each a tuple of function and arguments, in order.

    Calls of at most the weight `look_ahead` are under way or waiting to be taken. The next one is
    asked for when there is room for it, and when what was yielded has been worked on.

    Args:
        result: waits for a call's future; gets the call's arguments, too.
        weigh: what a call counts for, told by its arguments.
    """
    waiting: collections.deque[tuple] = collections.deque()
    weight = 0
    for function, *arguments in jobs:
        waiting.append((threads.submit(function, *arguments), *arguments))
        weight += weigh(*arguments)
        while weight >= look_ahead:
            future, *arguments = waiting.popleft()
            weight -= weigh(*arguments)
            yield result(future, *arguments)
    while waiting:
        yield result(*waiting.popleft())


def unless_stuck(future: Future, *arguments: Any) -> Any:
    """The result of a call whose last argument is its `Clock`.

    Raises:
        Stuck: it takes too long by its clock. As long as that stands still, it may take any time.
    """
    clock = arguments[-1]
    while not concurrent.futures.wait([future], max(_OFTEN, clock.left())).done:
        if clock.left() <= 0:
            raise Stuck
    return future.result()
