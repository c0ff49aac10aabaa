"""What the tests of training share: trainings on `toy_features` that take seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from captioner.model import Captioner
from captioner.training import TrainingOptions
from tests import toy_features

COUNTS = {"train": 24, "dev": 12}
SIZES = {
    "attention": {"units": 16, "embedding": 16, "heads": 2},
    "merge": {"units": 16, "embedding": 16},
    "transformer": {"units": 16, "layers": 1, "heads": 2},
}
# After three epochs of these the captions are sometimes right.
OPTIONS = TrainingOptions(
    settings=SIZES["attention"],
    epochs=5,
    batch_size=8,
    min_count=1,
    learning_rate=0.03,
    schedule="constant",
)


def write_features(factory: pytest.TempPathFactory) -> str:
    """A dataset to train on; its directory."""
    directory = f"{factory.mktemp('features')}/features"
    toy_features.write(directory, COUNTS)
    return directory


def weights(model: str | Path) -> list[np.ndarray]:
    """Of a saved model's decoder."""
    return Captioner.load(str(model), encoder=False).decoder.get_weights()


def are_equal(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    """Whether they are the same, bit by bit."""
    return all(map(np.array_equal, some, others)) and len(some) == len(others)


def history(model: str | Path) -> list[dict[str, Any]]:
    """The figures of each epoch, but for how long it took."""
    entries = json.loads(Path(model, "history.json").read_text())
    return [{name: entry[name] for name in entry if name != "seconds"} for entry in entries]
