"""Calls in threads, ahead of where their results are taken; one that is stuck can be left."""

from __future__ import annotations

import collections
import concurrent.futures
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol


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
    """How long something goes on that may never end: a `with` block in another thread."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._started: float | None = None

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        self._started = None

    def restart(self) -> None:
        """Count from now on, as what goes on has come a step further; nothing if it doesn't run."""
        if self._started is not None:
            self._started = time.monotonic()

    def left(self) -> float:
        """Seconds until it has taken too long, if it began now where it has not begun."""
        started = self._started
        return self._seconds - (0 if started is None else time.monotonic() - started)


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
        Stuck: it takes too long by its clock. As long as that doesn't run, it may take any time.
    """
    clock = arguments[-1]
    while not concurrent.futures.wait([future], max(0.0, clock.left())).done:
        if clock.left() <= 0:
            raise Stuck
    return future.result()
