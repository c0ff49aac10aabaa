"""What a training tells TensorBoard."""

from __future__ import annotations

import dataclasses
import html
import tempfile
from pathlib import Path

import tensorflow as tf

from captioner import storage
from captioner.training.measuring import Sample

_SHOWN = 12


class Board:
    """Writes the figures of each epoch, and some captions, below ``tensorboard/`` of the model.

    Args:
        model: the directory, a URI; look at it with ``tensorboard --logdir MODEL``.
        writes: whether this process is the one that writes.
    """

    def __init__(self, model: str, writes: bool) -> None:
        self._local = tempfile.TemporaryDirectory(prefix="captioner-")
        self._remote = storage.join(model, "tensorboard")
        self._writer = tf.summary.create_file_writer(self._local.name) if writes else None

    def tell(self, figures: dict[str, float], samples: list[Sample]) -> None:
        """Add an epoch.

        Args:
            figures: as in `TrainingResult.history`.
            samples: some captions to show.
        """
        if not self._writer:
            return
        with self._writer.as_default(step=int(figures["epoch"])):
            for name, value in figures.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
            if samples:
                tf.summary.text("captions", "\n".join(map(_line, samples[:_SHOWN])))
        self._writer.flush()
        for file in Path(self._local.name).iterdir():
            storage.replace(storage.join(self._remote, file.name), file.read_bytes())


def _line(sample: Sample) -> str:
    """An item of a Markdown list."""
    id, caption, reference = map(html.escape, dataclasses.astuple(sample))
    return f"- `{id}`: **{caption}** ({reference})"
