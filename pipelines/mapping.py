"""PLAN: a plain function of each element, where a store is waited for."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apache_beam as beam

# Elements that one call works on: enough that the store's answers overlap.
_SOME = 128


@dataclasses.dataclass(eq=False)
class MapInThreads(beam.PTransform):
    """A function of each element, spread over the workers and called many times at once.

    Args:
        function: of one element.
        least, per_core: how many threads call it at once, by the cores of the worker.
    """

    function: Callable[[Any], Any]
    least: int
    per_core: int

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        return (
            elements
            | "Spread" >> beam.Reshuffle()
            | "Some each" >> beam.BatchElements(_SOME, _SOME)
            | "Call" >> beam.ParDo(CallInThreads(self.function, self.least, self.per_core))
        )


class CallInThreads(beam.DoFn):
    """A function of each element of a list."""

    def __init__(self, function: Callable[[Any], Any], least: int, per_core: int) -> None:
        self._function = function
        self._least = least
        self._per_core = per_core

    def setup(self) -> None:
        count = max(self._least, self._per_core * (os.cpu_count() or 1))
        self._threads = ThreadPoolExecutor(count, "call")

    def teardown(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def process(self, some: list[Any]) -> Iterator[Any]:
        return self._threads.map(self._function, some)
