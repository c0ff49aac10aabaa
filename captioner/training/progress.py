"""What training shows while it goes, and what it remembers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from captioner.errors import UserError


class _RateColumn(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "")


def bar(console: Console | None = None) -> Progress:
    """A bar with count, rate and time left; nothing at all where there is no terminal."""
    console = console or Console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


class EpochLog:
    """Moves the bar, prints a line an epoch and keeps the history.

    Args:
        progress: where to show it.
        steps: an epoch.
        epochs: in all.
        on_epoch: told each epoch's part of the history.

    Attributes:
        history: see `TrainingResult`.
    """

    def __init__(
        self,
        progress: Progress,
        steps: int,
        epochs: int,
        on_epoch: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        self.history: list[dict[str, float]] = []
        self._progress = progress
        self._task = progress.add_task("training", total=steps * epochs)
        self._epochs = epochs
        self._on_epoch = on_epoch
        self._began = 0.0

    @property
    def best_epoch(self) -> int:
        """The number, from 1, of the first epoch with the lowest development loss.

        Where there is no development split the training loss decides.
        """
        decides = "development_loss" if "development_loss" in self.history[0] else "loss"
        return min(self.history, key=lambda entry: entry[decides])["epoch"]

    def begin(self) -> None:
        """Start an epoch's clock."""
        self._began = time.monotonic()

    def step(self) -> None:
        """Move the bar."""
        self._progress.advance(self._task)

    def end(self, loss: float, development_loss: float | None) -> None:
        """Note and show how the epoch went.

        Raises:
            UserError: training has diverged.
        """
        if not math.isfinite(loss):
            raise UserError("the loss is no longer a number; use a lower learning rate")
        entry = {"epoch": len(self.history) + 1, "loss": loss}
        if development_loss is not None:
            entry["development_loss"] = development_loss
        entry["seconds"] = round(time.monotonic() - self._began, 1)
        self.history.append(entry)
        self._progress.console.print(self._line(entry), highlight=False)
        if self._on_epoch:
            self._on_epoch(entry)

    def _line(self, entry: dict[str, float]) -> str:
        line = f"epoch {entry['epoch']}/{self._epochs}: loss {entry['loss']:.3f}"
        if "development_loss" in entry:
            line += f", on the development split {entry['development_loss']:.3f}"
        return f"{line}, {entry['seconds']:.0f} s"
