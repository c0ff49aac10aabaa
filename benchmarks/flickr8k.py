"""How good captions of Flickr8k get, from its photos to a table beside published results.

    python -m benchmarks.flickr8k --data flickr8k/ --encoder-weights imagenet --output out/flickr8k

Everything runs through the `captioner` command, as a user would run it, and unattended: features,
seven trainings, captions, scores. What is done is not done again, so it can be stopped and started.
`--data` holds the collection as it is distributed: a directory of photos, ``Flickr8k.token.txt``
and the lists of the splits. The table is printed, and left in ``table.md``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

from captioner.evaluation import Scores

# Both what the last block makes of a picture and what goes into that block.
ENCODER = ["--encoder", "xception+xception", "--encoder-layer", "add_11+"]

COMMON = ["--dropout", "0.5", "--precision", "bfloat16", "--averaging", "0.99"]
MERGE = ["--decoder", "merge", "--units", "512", "--epochs", "12", *COMMON]
# Self-critical training gains most from a model that has not yet learnt its images by heart.
ATTENTION = ["--decoder", "attention", "--epochs", "8", *COMMON]
# Longer samples are rare, and cost time.
SELF_CRITICAL = ["--self-critical", "--max-length", "21", "--epochs", "3", *COMMON]
GREEDY = ["--width", "1"]
BEAM = ["--width", "5", "--length-penalty", "1.2"]
# Dropout and smoothed labels leave a model less sure of its words than it may be; rewards don't.
UNSURE = [*BEAM, "--temperature", "0.7"]

SEEDS = (0, 1, 2)

PUBLISHED = """\
| merge, frozen VGG16 (Tanti et al., 2018) | .178 | .469 |
| Show and Tell, frozen VGG16, beam width 3 | .198 | .478 |
| adaptive attention, frozen VGG16, beam width 3 | .205 | .524 |
| adaptive attention, fine-tuned ResNet152 | .233 | .587 |
| Show, Attend and Tell (Xu et al., 2015) | .195 to .213 | – |
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        name: what it is of.
        models: which caption together.
        search: flags.
    """

    name: str
    models: tuple[str, ...]
    search: list[str]

    @property
    def directory(self) -> str:
        """Where its captions go."""
        return "_".join([*self.models, self.search[1]])


class Benchmark:
    """The steps, each a command.

    Args:
        data: the collection's directory.
        weights: the encoder's.
        output: where all goes.
        split: what is scored.
    """

    def __init__(self, data: Path, weights: str, output: Path, split: str) -> None:
        self.captions = str(data / "Flickr8k.token.txt")
        self.data = data
        self.weights = weights
        self.output = output
        self.split = split

    def extract(self) -> None:
        """Make the features."""
        photos = next(path for path in sorted(self.data.iterdir()) if path.is_dir())
        collection = ["--captions", self.captions, "--splits", str(self.data)]
        self._run(
            *("extract", "--input", str(photos), *collection, *ENCODER),
            *("--encoder-weights", self.weights, "--output", self._path("features")),
        )

    def train(self, name: str, *flags: str) -> None:
        """Train a model."""
        self._run(
            *("train", "--features", self._path("features")),
            *("--output", self._path("models", name), *flags),
        )

    def score(self, row: Row) -> Scores:
        """Caption as a row says, and score it."""
        captions = self._path("captions", row.directory)
        models = [flag for name in row.models for flag in ("--model", self._path("models", name))]
        features = self._path("features")
        source = ["--input", features, "--split", self.split]
        self._run("caption", *source, "--output", captions, *models, *row.search)
        scores = self.output / "scores" / f"{row.directory}_{self.split}.json"
        scores.parent.mkdir(parents=True, exist_ok=True)
        self._run(
            *("evaluate", "--captions", captions, "--references", self.captions),
            *("--splits", str(self.data), "--split", self.split, "--json", str(scores)),
        )
        return Scores.from_json(scores.read_text())

    def _path(self, *parts: str) -> str:
        return str(self.output.joinpath(*parts))

    def _run(self, *arguments: str) -> None:
        print("\n$ captioner", *arguments, flush=True)
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "captioner", *arguments], check=True)
        print(f"({time.monotonic() - began:.0f} s)", flush=True)


def best_single(output: Path) -> str:
    """The model by cross-entropy whose greedy captions of the development split were best."""
    scores = {}
    for seed in SEEDS:
        name = f"attention_{seed}"
        description = json.loads((output / "models" / name / "model.json").read_text())
        scores[name] = description["training"]["best_epoch"]["cider_d"]
    return max(scores, key=scores.__getitem__)


def table(rows: list[Row], scores: list[Scores], split: str) -> str:
    """The table as Markdown, published results last."""
    lines = [
        f"| Flickr8k, {split} split | BLEU-1 | BLEU-4 | ROUGE-L | CIDEr-D |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row, found in zip(rows, scores, strict=True):
        figures = (found.bleu[0], found.bleu[3], found.rouge_l, found.cider_d)
        shown = " | ".join(f"{figure:.3f}".lstrip("0") for figure in figures)
        lines.append(f"| {row.name} | {shown} |")
    published = "| published, on the test split | BLEU-4 | CIDEr |\n| --- | --- | --- |\n"
    return "\n".join(lines) + "\n\n" + published + PUBLISHED


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder-weights", default="imagenet")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parsed = parser.parse_args()
    benchmark = Benchmark(parsed.data, parsed.encoder_weights, parsed.output, parsed.split)
    benchmark.extract()
    benchmark.train("merge", *MERGE)
    for seed in SEEDS:
        benchmark.train(f"attention_{seed}", *ATTENTION, "--seed", str(seed))
    for seed in SEEDS:
        start = str(parsed.output / "models" / f"attention_{seed}")
        flags = [*SELF_CRITICAL, "--start", start, "--seed", str(seed)]
        benchmark.train(f"self_critical_{seed}", *flags)
    single = best_single(parsed.output)
    critical = single.replace("attention", "self_critical")
    rows = [
        Row("merge, greedy", ("merge",), GREEDY),
        Row("attention, greedy", (single,), GREEDY),
        Row("attention, beam width 5", (single,), UNSURE),
        Row("the same after self-critical training", (critical,), BEAM),
        Row(
            "ensemble of three such, beam width 5",
            tuple(f"self_critical_{seed}" for seed in SEEDS),
            BEAM,
        ),
    ]
    found = table(rows, [benchmark.score(row) for row in rows], parsed.split)
    (parsed.output / "table.md").write_text(found)
    print("\n" + found)


if __name__ == "__main__":
    main()
