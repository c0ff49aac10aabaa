"""The training loop: epochs, where it goes on, and which epoch's weights are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from captioner.training.board import Board
from captioner.training.checkpoints import Checkpoints, Progress
from captioner.training.learners import Learner
from captioner.training.measuring import Measure
from captioner.training.progress import EpochLog


@dataclasses.dataclass(frozen=True)
class Passes:
    """What an epoch goes over.

    Args:
        training: the batches of an epoch, by its number, from some step on, counted from 0: what
            there is at an epoch's step is always the same.
        development: the batches that it is measured on, if there are any.
        measure: captions the development images, where the best captions decide.
        figure: what is told of the training batches: the mean of their "loss", or of what their
            totals have by that name.
        over: whose number in a batch's totals that mean is weighted by.
    """

    training: Callable[[int, int], Any]
    development: Any | None
    measure: Measure | None
    figure: str = "loss"
    over: str = "words"


@dataclasses.dataclass(frozen=True)
class Fitter:
    """Trains a network over epochs.

    Args:
        learner: the network, and what changes it.
        passes: what to go over.
        checkpoints: where it goes on if it was stopped, and leaves how far it got.
        log, board: told of each epoch.
    """

    learner: Learner
    passes: Passes
    checkpoints: Checkpoints
    log: EpochLog
    board: Board

    def fit(self, epochs: int, patience: int) -> None:
        """Train; the network ends with the weights of the best epoch.

        Args:
            epochs: at most.
            patience: how many epochs without a better one end it; 0 for never.
        """
        progress = self._resumed()
        while progress.epoch <= epochs and not self._is_over(patience):
            self._learn(progress)
            self._end_epoch(progress)
            progress.epoch, progress.figures = progress.epoch + 1, []
            self._save(progress)
        self.learner.network.set_weights(progress.best)

    def _resumed(self) -> Progress:
        progress = self.checkpoints.load()
        if progress is None:
            return Progress()
        self.learner.restore(progress.learner)
        self.log.resume(progress.history, len(progress.figures))
        return progress

    def _is_over(self, patience: int) -> bool:
        history = self.log.history
        return bool(patience and history) and len(history) - self.log.best_epoch >= patience

    def _learn(self, progress: Progress) -> None:
        batches = self.passes.training(progress.epoch, len(progress.figures))
        for loss, totals in self.learner.over(batches, learn=True):
            figure = totals.get(self.passes.figure, loss)
            progress.figures.append((figure, totals[self.passes.over]))
            self.log.step()
            if self.checkpoints.are_due:
                self._save(progress)

    def _end_epoch(self, progress: Progress) -> None:
        figures = {self.passes.figure: _mean(progress.figures)}
        samples = []
        with self.learner.averaged():
            if self.passes.development is not None:
                over = self.learner.over(self.passes.development, learn=False)
                losses = [(loss, totals["words"]) for loss, totals in over]
                figures["development_loss"] = _mean(losses)
            if self.passes.measure:
                figures["cider_d"], samples = self.passes.measure()
            self.log.end(figures)
            if self.log.best_epoch == progress.epoch:
                progress.best = self.learner.network.get_weights()
        self.board.tell(self.log.history[-1], samples)

    def _save(self, progress: Progress) -> None:
        progress.figures = [(float(figure), float(count)) for figure, count in progress.figures]
        progress.history = self.log.history
        progress.learner = self.learner.state()
        self.checkpoints.save(progress)


def _mean(pairs: list[tuple[Any, Any]]) -> float:
    """The mean of figures, each with its weight."""
    figures, weights = np.array([[float(value) for value in pair] for pair in pairs]).T
    return float(np.average(figures, weights=weights))
