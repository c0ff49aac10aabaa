"""What the job itself costs, with images and a network of next to nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks import flat_cost
from benchmarks.speed import pictures
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Result


def measure(inputs: Inputs, counts: tuple[int, ...], picture: Path | None) -> list[Result]:
    """Milliseconds an image of jobs of different size, all included from start to manifest.

    Args:
        inputs: where to make the images.
        counts: of images.
        picture: where to draw how long the jobs took.
    """
    took = [(count, _seconds(inputs.work / "tiny", count)) for count in counts]
    if picture:
        pictures.draw(picture, "images of 8 x 8", "seconds of the job itself", [(0, 0), *took])
    return [
        Result(
            f"overhead of {count:,} images, ms each", 1000 * all / count, 0.2, f"{all:.1f} s", True
        )
        for count, all in took
    ]


def _seconds(directory: Path, count: int) -> float:
    flat_cost.make_images(directory, count)
    took = flat_cost.measure(directory)["seconds"]
    shutil.rmtree(directory)
    return took
