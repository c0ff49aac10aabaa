"""How far a training has got, on disk, so that one that was killed goes on where it was."""

from __future__ import annotations

import dataclasses
import io
import json
import time
import zipfile
from typing import Any

import numpy as np

from captioner import storage

_FILE = "checkpoint.npz"
_SECONDS = 120.0


@dataclasses.dataclass
class Progress:
    """How far a training has got: all that decides how it goes on, but its data and options.

    Attributes:
        epoch: the one that is under way, from 1.
        figures: of each of its steps so far, its loss or reward, and its number of images.
        history: see `TrainingResult`.
        best: the decoder's weights after the best epoch; none before the first has ended.
        learner: see `Learner.state`.
    """

    epoch: int = 1
    figures: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: list[np.ndarray] = dataclasses.field(default_factory=list)
    learner: list[np.ndarray] = dataclasses.field(default_factory=list)


class Checkpoints:
    """The checkpoint of one training, ``checkpoint.npz`` in the model's directory.

    It holds arrays alone, and a JSON text for the rest: nothing in it is ever run.

    Args:
        model: the directory, a URI.
        identity: a hash of the data and the options; a checkpoint of others is not
            gone on from, and replaced by the first of this training.
        writes: whether this process is the one that writes.
    """

    def __init__(self, model: str, identity: str, writes: bool) -> None:
        self._file = storage.join(model, _FILE)
        self._identity = identity
        self._writes = writes
        self._written = time.monotonic()

    @property
    def are_due(self) -> bool:
        """Whether the last one is some minutes old."""
        return self._writes and time.monotonic() - self._written > _SECONDS

    def save(self, progress: Progress) -> None:
        """Replace the checkpoint."""
        if not self._writes:
            return
        told = {
            "identity": self._identity,
            "epoch": progress.epoch,
            "figures": progress.figures,
            "history": progress.history,
        }
        arrays = {"told": np.frombuffer(json.dumps(told).encode(), np.uint8)}
        for name in ("best", "learner"):
            values = getattr(progress, name)
            arrays |= {f"{name}/{place}": value for place, value in enumerate(values)}
        file = io.BytesIO()
        np.savez(file, **arrays)
        storage.replace(self._file, file.getvalue())
        self._written = time.monotonic()

    def load(self) -> Progress | None:
        """The checkpoint, if there is one of this training."""
        try:
            with np.load(io.BytesIO(storage.read_bytes(self._file)), allow_pickle=False) as found:
                told = json.loads(found["told"].tobytes())
                if told.pop("identity") != self._identity:
                    return None
                lists = {name: _list(found, name) for name in ("best", "learner")}
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
            return None  # no whole file of ours: the training begins anew
        figures = [tuple(pair) for pair in told.pop("figures")]
        return Progress(**told, figures=figures, **lists)

    def remove(self) -> None:
        """Delete the checkpoint, once the model is there."""
        if self._writes:
            storage.remove(self._file)


def _list(found: Any, name: str) -> list[np.ndarray]:
    count = sum(key.startswith(f"{name}/") for key in found)
    return [found[f"{name}/{place}"] for place in range(count)]
