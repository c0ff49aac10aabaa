"""How extraction's time grows with the images, and what a second core brings: pictures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.speed import pictures
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import CORES, captioner, each, seconds


def draw(inputs: Inputs, directory: Path) -> None:
    """Measure, and write ``images.svg`` and ``cores.svg``."""
    counts = [inputs.count * step // 4 for step in range(1, 5)]
    by_count = [(count, _extract(inputs, count, CORES)) for count in counts]
    pictures.draw(directory / "images.svg", "photos", "seconds of captioner extract", by_count)
    by_cores = [(cores, _rate(inputs, cores)) for cores in range(1, CORES + 1)]
    pictures.draw(directory / "cores.svg", "cores", "photos a second", by_cores)


def _rate(inputs: Inputs, cores: int) -> float:
    """Photos a second, what a process needs to start left out."""
    return 1 / each(lambda count: _extract(inputs, count, cores), inputs.count)


def _extract(inputs: Inputs, count: int, cores: int) -> float:
    """Seconds, on so many cores."""
    output, all_cores = inputs.work / "output", os.sched_getaffinity(0)
    shutil.rmtree(output, ignore_errors=True)
    what = ["--input", inputs.some(count), "--output", output]
    os.sched_setaffinity(0, sorted(all_cores)[:cores])  # which the command inherits
    try:
        return seconds(lambda: captioner("extract", *what, *inputs.encoding))
    finally:
        os.sched_setaffinity(0, all_cores)
