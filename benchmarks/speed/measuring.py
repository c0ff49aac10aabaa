"""Contestants that take turns on one machine, and what comes of it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

from captioner import cli

CORES = len(os.sched_getaffinity(0))


@dataclasses.dataclass(frozen=True)
class Result:
    """A line of the table.

    Args:
        name: what is compared with what.
        ratio: of both.
        target: what the ratio is to be.
        at_most: whether it is to be that or less, and not that or more.
        measured: the figures behind it, for people.
    """

    name: str
    ratio: float
    target: float
    measured: str
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the ratio is what it is to be."""
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def in_turns(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of what each of them measures.

    They go one after the other, each round the other way round, so that what else goes on on the
    machine hurts all alike.
    """
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            found[name].append(contestants[name]())
    return {name: statistics.median(figures) for name, figures in found.items()}


def seconds(do: Callable[[], object]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def core_seconds(do: Callable[[], object]) -> float:
    """How long it keeps a core busy, whatever else the machine does."""
    started = time.process_time()
    do()
    return time.process_time() - started


def each(do: Callable[[int], object], count: int) -> float:
    """Seconds an image of something done to a number of images; what is spent once is left out."""
    few = count // 4
    took = seconds(lambda: do(count)) - seconds(lambda: do(few))
    return took / (count - few)


def cosines(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each image's features with the same image's others: float [images]."""
    some, others = (array.reshape(len(array), -1).astype(np.float64) for array in (some, others))
    norms = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    return (some * others).sum(axis=1) / norms


def prepare(*arguments: object) -> None:
    """Run the command in this process, quietly, where its time doesn't matter.

    Raises:
        RuntimeError: it failed.
    """
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        status = cli.main([*map(str, arguments)])
    if status:
        raise RuntimeError(f"captioner {' '.join(map(str, arguments))}\n{said.getvalue()}")


def captioner(*arguments: object) -> None:
    """Run the command in a process of its own, quietly.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "captioner", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
