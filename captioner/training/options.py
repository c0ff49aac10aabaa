"""How to train, and how training went."""

from __future__ import annotations

import dataclasses
from typing import Any

from captioner.errors import UserError
from captioner.training.progress import FIGURES
from captioner.wording import counted

_SHARES = ("dropout", "label_smoothing", "averaging")


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Args:
        decoder: a key of `decoders.DECODERS`.
        dropout, word_dropout: see the decoders.
        settings: the decoder's other settings, by name.
        start: directory of a model whose decoder, vocabulary and weights to start from; the
            settings above and `min_count` are then without effect, but for the dropout.
        self_critical: whether to train on the reward of sampled captions, see `self_critical`,
            and not on people's captions word by word.
        samples: captions an image to draw for that.
        temperature: of the start model's words when that begins. One that is unsure, as smoothed
            labels and dropout leave it, first learns to say less instead of what is right.
        epochs: passes over the training captions.
        patience: epochs without a better one after which to stop; 0 for never.
        keep_by: which epoch is best: that with the highest "cider_d" of the development split's
            greedy captions (the lowest loss among equals), or that with its lowest "loss".
        batch_size: images a step, over all devices, or as many captions as these have; see
            `examples.Batches.suiting`.
        accumulate: steps whose mean gradient is applied at once.
        learning_rate: the highest; None for what usually suits the kind of training: 1e-3, 5e-5 if
            it is self-critical, 1e-5 if the encoder learns too.
        warmup: share of the steps over which the learning rate rises from 0.
        schedule: what it does then: it falls to 0 as a "cosine", or stays "constant".
        weight_decay: share of the learning rate by which weights shrink each step.
        clip_norm: the largest norm of a step's whole gradient.
        label_smoothing: see `loss.word_losses`.
        averaging: how much of the average of earlier weights each step keeps; the average is what
            is measured and kept. 0 for the weights themselves.
        precision: "float32", or "bfloat16" for what is computed; weights stay float32.
        min_count: how often a word must occur in the training captions to be in the vocabulary.
        max_length: the most tokens of a caption, start and end among them; the rest is cut off.
        seed: of weights, dropout and the order of images.

    Raises:
        UserError: a number that can't be trained with.
    """

    decoder: str = "attention"
    dropout: float = 0.0
    word_dropout: float = 0.0
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    start: str = ""
    self_critical: bool = False
    samples: int = 5
    temperature: float = 0.6
    epochs: int = 12
    patience: int = 0
    keep_by: str = "cider_d"
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float | None = None
    warmup: float = 0.0
    schedule: str = "cosine"
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    label_smoothing: float = 0.1
    averaging: float = 0.0
    precision: str = "float32"
    min_count: int = 4
    max_length: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _SHARES:
            self._check(name, 0 <= getattr(self, name) < 1, "a share: from 0, and less than 1")
        for name in ("word_dropout", "warmup"):
            self._check(name, 0 <= getattr(self, name) <= 1, "a share: from 0 to 1")
        for name in ("temperature", "clip_norm"):
            self._check(name, getattr(self, name) > 0, "more than 0")
        self._check(
            "learning_rate", self.learning_rate is None or self.learning_rate > 0, "more than 0"
        )
        self._check("weight_decay", self.weight_decay >= 0, "0 or more")
        self._check("samples", self.samples > 1, "2 or more: each is held against the others")
        self._check("max_length", self.max_length > 2, "3 or more: start and end are among them")
        self._check("seed", 0 <= self.seed < 1 << 32, "from 0, and less than 2 to the 32nd")

    def _check(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise UserError(f"{name.replace('_', ' ')} is {getattr(self, name)}; it must be {what}")


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How training went.

    Attributes:
        history: one dictionary an epoch: epoch (from 1), loss (in self-critical training: reward),
            development_loss and cider_d (where there are development captions) and seconds.
        best_epoch: the one whose weights were kept.
        captions: how many were trained on, once an epoch.
        vocabulary_size: how many token ids there are.
    """

    history: list[dict[str, float]]
    best_epoch: int
    captions: int
    vocabulary_size: int

    def __str__(self) -> str:
        best = self.history[self.best_epoch - 1]
        figures = ", ".join(
            f"{label} {best[name]:.3f}" for name, label in FIGURES.items() if name in best
        )
        return (
            f"{counted(self.captions, 'caption')} of {counted(self.vocabulary_size, 'word')}, "
            f"best epoch {self.best_epoch} of {len(self.history)}: {figures}"
        )
