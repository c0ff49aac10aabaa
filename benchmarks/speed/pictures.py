"""Pictures of the scaling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt


def draw(file: Path, across: str, up: str, points: Sequence[tuple[float, float]]) -> None:
    """Write a line through points as SVG, both axes from 0.

    Args:
        across, up: what the axes show.
        points: (across, up) of each.
    """
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot(*zip(*points, strict=True), "o-")
    axes.set(xlabel=across, ylabel=up, xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
