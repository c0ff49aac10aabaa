"""EXECUTE, second step: full batches through the network, and a failing batch halved."""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from pipelines.items import Item, Problem


class Network(Protocol):
    """What a handler loads once a process."""

    def infer(self, batch: np.ndarray) -> Sequence[Any]:
        """A result for each entry of a batch."""


class HalvingHandler(ModelHandler[Item, Item, "LoadedWhenNeeded"]):
    """Runs items' pixels or features through a network in batches of one size.

    A batch that raises is halved until the culprit is alone, and that item gets a problem: no
    image raises. A network that can't be loaded does. One that an accelerator's memory is too small
    for is halved too, and later ones have the size that fits. Items that have a problem already,
    and repetitions, pass by.

    Args:
        load: makes the network; called once a process.
        batch_size: items a batch; a smaller one is padded, since networks are compiled for a size.
    """

    def __init__(self, load: Callable[[], Network], batch_size: int) -> None:
        super().__init__()
        self._load = load
        self._batch_size = batch_size

    def load_model(self) -> LoadedWhenNeeded:
        return LoadedWhenNeeded(self._load, self._batch_size)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        return {"min_batch_size": self._batch_size, "max_batch_size": self._batch_size}

    def get_num_bytes(self, batch: Sequence[Item]) -> int:
        # Beam's own way is to pickle the batch.
        return sum(item.pixels_or_features.nbytes for item in batch if takes_part(item))

    def run_inference(
        self,
        batch: Sequence[Item],
        model: LoadedWhenNeeded,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Item]:
        waiting = [item for item in batch if takes_part(item)]
        while waiting:
            size = model.batch_size
            infer_items(model, waiting[:size])
            del waiting[:size]
        return batch


class LoadedWhenNeeded:
    """A `Network` that its first batch loads, so that a run with nothing to do is quick.

    Attributes:
        batch_size: the largest that is known to fit, or is yet to be tried.
        name: of this network in this process's memory, MACHINE/PROCESS/HASH; no other has it.
    """

    def __init__(self, load: Callable[[], Network], batch_size: int) -> None:
        self.batch_size = batch_size
        self.name = f"{platform.node()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._load = load
        self._lock = threading.Lock()
        self._network: Network | None = None

    def loaded(self) -> Network:
        """The network."""
        with self._lock:
            if self._network is None:
                self._network = self._load()
        return self._network

    def does_not_fit(self, size: int) -> None:
        """Remember that a batch of this size is too much for the accelerator's memory."""
        self.batch_size = min(self.batch_size, (size + 1) // 2)


def takes_part(item: Item) -> bool:
    """Whether an item goes through the network."""
    return item.pixels_or_features is not None and not item.repeats


def infer_items(model: LoadedWhenNeeded, items: Sequence[Item]) -> None:
    """Give each of at most a batch of items its result, or the problem with it."""
    network = model.loaded()
    started = time.perf_counter()
    batch = np.stack([item.pixels_or_features for item in items])
    results = infer_halving(network.infer, batch, model.batch_size, model.does_not_fit)
    for item, result in zip(items, results, strict=True):
        item.pixels_or_features = None
        item.model = model.name
        if isinstance(result, Exception):
            message = f"{type(result).__name__}: {result}"
            item.problem = Problem("infer", "inference_failed", message, permanent=False)
        item.result = result
    for item in items:
        item.seconds["infer"] = (time.perf_counter() - started) / len(items)


def infer_halving(
    infer: Callable[[np.ndarray], Sequence[Any]],
    batch: np.ndarray,
    size: int,
    does_not_fit: Callable[[int], None] = lambda size: None,
) -> list[Any]:
    """`infer(batch)` as a list, with the exception in the place of each entry that causes one.

    Args:
        infer: takes `size` entries, or after halving `size / 2` and so on.
        batch: at most `size` entries.
        size: what the batch is padded to, with its last entry.
        does_not_fit: is told the sizes that are too much for the accelerator's memory.
    """
    padding = [(0, size - len(batch))] + [(0, 0)] * (batch.ndim - 1)
    try:
        return list(infer(np.pad(batch, padding, mode="edge")))[: len(batch)]
    except Exception as error:
        if is_out_of_memory(error) and size > 1:
            does_not_fit(size)
        elif len(batch) == 1:
            return [error]
    half = (size + 1) // 2
    rest = infer_halving(infer, batch[half:], half, does_not_fit) if len(batch) > half else []
    return infer_halving(infer, batch[:half], half, does_not_fit) + rest


def is_out_of_memory(error: Exception) -> bool:
    """Whether an accelerator's memory was too small, whichever framework says so."""
    # By name, since this module knows no framework: TensorFlow's error, and the text of JAX's.
    name = type(error).__name__
    return name in ("ResourceExhaustedError", "OutOfMemoryError") or "RESOURCE_EXHAUSTED" in str(
        error
    )
