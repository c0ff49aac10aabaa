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

# The figures of an epoch, as they are called for people.
FIGURES = {
    "loss": "loss",
    "reward": "reward",
    "development_loss": "development loss",
    "cider_d": "CIDEr-D",
}

# By what the best epoch is found, the next among equals, and whether less (1) or more (-1) of it is
# better.
_DECIDES = {"cider_d": -1, "development_loss": 1, "loss": 1, "reward": -1}


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


class Diverged(UserError):
    """The loss is no longer a number."""


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
        self._steps = steps
        self._task = progress.add_task("training", total=steps * epochs)
        self._epochs = epochs
        self._on_epoch = on_epoch
        self._began = time.monotonic()

    @property
    def best_epoch(self) -> int:
        """The number, from 1, of the first of the best epochs.

        The best has the highest CIDEr-D, and among equals the lowest development loss; where
        captions aren't scored that loss alone decides; and where there is no development split,
        the lowest loss or the highest reward.
        """
        known = {name: sign for name, sign in _DECIDES.items() if name in self.history[0]}
        best = min(self.history, key=lambda entry: [known[name] * entry[name] for name in known])
        return int(best["epoch"])

    def resume(self, history: list[dict[str, float]], steps: int) -> None:
        """Go on after the epochs of `history` and some steps of another one."""
        self.history = list(history)
        done = len(history) * self._steps + steps
        self._progress.update(self._task, completed=done)
        where = f"epoch {len(history) + 1}, step {steps + 1}"
        self._progress.console.print(f"going on where it was stopped: {where}", highlight=False)

    def step(self) -> None:
        """Move the bar."""
        self._progress.advance(self._task)

    def end(self, figures: dict[str, float]) -> None:
        """Note and show how the epoch went.

        Args:
            figures: of the epoch, without its number and seconds.

        Raises:
            Diverged: as said.
        """
        if not all(map(math.isfinite, figures.values())):
            raise Diverged("the loss is no longer a number; use a lower learning rate")
        now = time.monotonic()
        number = len(self.history) + 1
        entry = {"epoch": number, **figures, "seconds": round(now - self._began, 1)}
        self._began = now
        self.history.append(entry)
        self._progress.console.print(self._line(entry), highlight=False)
        if self._on_epoch:
            self._on_epoch(entry)

    def _line(self, entry: dict[str, float]) -> str:
        shown = [f"{label} {entry[name]:.3f}" for name, label in FIGURES.items() if name in entry]
        line = f"epoch {entry['epoch']}/{self._epochs}: {', '.join(shown)}"
        return f"{line}, {entry['seconds']:.0f} s"
