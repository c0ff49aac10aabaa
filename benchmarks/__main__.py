"""The speed of Captioner, each figure a ratio of two that were measured side by side.

    python -m benchmarks [--photos DIR --captions FILE --model MODEL --encoder-weights PATH]
    python -m benchmarks --quick           a smaller form, for the code's sake

What isn't given is made up. The table is printed; docs/performance.md shows one, and what for.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed import (
    accuracy,
    decoding,
    features,
    jobs,
    machine,
    overhead,
    scaling,
    starting,
    training,
)
from benchmarks.speed.inputs import Inputs, draw_photos
from benchmarks.speed.measuring import Result


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is measured.

    Args:
        photos: that the jobs take.
        rounds: of each contestant.
        tiny: images of the jobs that do next to nothing.
        compared: photos whose captions are compared.
    """

    photos: int
    rounds: int
    tiny: tuple[int, ...]
    compared: int


FULL = Size(256, 3, (100_000, 1_000_000), 1000)
QUICK = Size(32, 1, (1000,), 32)

Part = Callable[[Inputs, Size, Path | None], list[Result]]
PARTS: dict[str, Part] = {
    "jobs": lambda inputs, size, pictures: jobs.measure(inputs, size.rounds),
    "features": lambda inputs, size, pictures: features.measure(inputs, size.rounds),
    "decoding": lambda inputs, size, pictures: decoding.measure(inputs, size.rounds),
    "training": lambda inputs, size, pictures: training.measure(inputs, size.rounds),
    "overhead": lambda inputs, size, pictures: overhead.measure(
        inputs, size.tiny, pictures and pictures / "tiny.svg"
    ),
    "starting": lambda inputs, size, pictures: starting.measure(inputs, size.rounds),
    "accuracy": lambda inputs, size, pictures: accuracy.measure(inputs, size.compared),
}


def main() -> None:
    """Measure, print the table, and keep it as JSON."""
    parsed = _parser().parse_args()
    size = QUICK if parsed.quick else FULL
    print(machine.describe(), flush=True)
    with tempfile.TemporaryDirectory(prefix="captioner-") as directory:
        inputs = _inputs(parsed, size, Path(directory))
        found = []
        for part in parsed.only:
            found += PARTS[part](inputs, size, parsed.pictures)
            print(f"({part} done)", flush=True)
        if parsed.pictures:
            scaling.draw(inputs, parsed.pictures)
    print("\n" + table(found))
    if parsed.json:
        rows = [
            {"name": row.name, "ratio": row.ratio, "target": row.target, "met": row.met}
            for row in found
        ]
        parsed.json.write_text(json.dumps(rows, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--photos", type=Path, metavar="DIR", help="of JPEG files")
    parser.add_argument("--captions", type=Path, metavar="FILE", help="of these photos")
    parser.add_argument("--model", type=Path, help="whose captions are compared")
    parser.add_argument("--encoder-weights", default="none", metavar="imagenet|PATH|none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="for the table's lines")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="for those of the scaling")
    parser.add_argument("--only", choices=PARTS, nargs="*", default=[*PARTS], help="these parts")
    parser.add_argument("--quick", action="store_true")
    return parser


def _inputs(parsed: argparse.Namespace, size: Size, work: Path) -> Inputs:
    photos = parsed.photos
    if photos is None:
        photos = work / "photos"
        draw_photos(photos, size.photos, (500, 375))
    model = parsed.model and parsed.model.resolve()
    weights, captions = parsed.encoder_weights, parsed.captions
    inputs = Inputs(work, photos.resolve(), captions, weights, model, size.photos)
    # A network that is soon made and soon done.
    small = {"encoder": "mobilenetv2", "image_size": 96}
    return dataclasses.replace(inputs, **small) if parsed.quick else inputs


def table(results: list[Result]) -> str:
    """The results as Markdown."""
    lines = ["| | ratio | target | met | measured |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        sign = "≤" if result.at_most else "≥"
        figures = f"{result.ratio:.3g} | {sign} {result.target:g}"
        met = "yes" if result.met else "**no**"
        lines.append(f"| {result.name} | {figures} | {met} | {result.measured} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
