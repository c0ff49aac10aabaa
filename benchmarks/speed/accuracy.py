"""What is saved in size and in precision, and that nothing is lost by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.inputs import BEAM, Inputs, read_captions
from benchmarks.speed.measuring import Result, cosines
from captioner import images, scoring
from captioner.encoders import Encoder, engines
from captioner.evaluation import Comparison
from captioner.model import Captioner
from captioner.model.trained import Trained
from captioner.records import FeatureDataset
from captioner.search import SearchOptions

BATCH_SIZE = 50


def measure(inputs: Inputs, photos: int) -> list[Result]:
    """The size of features on disk; and captions of the same photos by features of each kind."""
    return [_size(inputs), *_lost(inputs, photos)]


def _size(inputs: Inputs) -> Result:
    directory = inputs.features("grid")
    dataset = FeatureDataset.load(str(directory))
    whole = 2 * dataset.bytes_per_image * sum(dataset.counts.values())  # twice float16's
    taken = sum(file.stat().st_size for file in (directory / "shards").iterdir())
    told = f"{taken / sum(dataset.counts.values()) / 1000:.0f} kB an image, all included"
    return Result("grid on disk / float32", taken / whole, 0.3, told, at_most=True)


def _lost(inputs: Inputs, count: int) -> list[Result]:
    """Of features in float16, as they are kept, and of those that bfloat16 made."""
    files = inputs.files(count)
    names, pixels = [file.name for file in files], _pixels(inputs, files)
    exact = _encoded(inputs, pixels, "tensorflow", "float32")
    kinds = {"float16 on disk": exact.astype(np.float16).astype(np.float32)}
    if engines.best_precision("auto") == "bfloat16":
        kinds["bfloat16"] = _encoded(inputs, pixels, "auto", "bfloat16")
    captions = _captions(inputs, exact)
    results = []
    for kind, features in kinds.items():
        lowest = float(cosines(exact, features).min())
        others = _captions(inputs, features)
        same = np.mean([one == other for one, other in zip(captions, others, strict=True)])
        scores = [_bleu(inputs, names, texts) for texts in (captions, others)]
        told = f"{scores[1]:.4f} and {scores[0]:.4f}; {same:.1%} of the captions are the same"
        lowest_of = f"the lowest of {count} photos"
        results += [
            Result(f"features: {kind} / float32, cosine", lowest, 0.999, lowest_of),
            Result(
                f"BLEU-4: {kind}, float32, apart", abs(scores[0] - scores[1]), 0.002, told, True
            ),
        ]
    return results


def _pixels(inputs: Inputs, files: Sequence[Path]) -> np.ndarray:
    size = Trained.load(str(inputs.trained())).description.encoder.image_size
    return np.stack([images.decode(file.read_bytes(), size).pixels for file in files])


def _encoded(inputs: Inputs, pixels: np.ndarray, engine: str, precision: str) -> np.ndarray:
    model = Trained.load(str(inputs.trained()))
    spec = dataclasses.replace(model.description.encoder, precision=precision)
    encoder = Encoder.load(spec, model.encoder_weights, engine)
    batches = np.split(pixels, range(BATCH_SIZE, len(pixels), BATCH_SIZE))
    return np.concatenate([encoder.encode(batch) for batch in batches])


def _captions(inputs: Inputs, features: np.ndarray) -> list[str]:
    search = SearchOptions(width=BEAM)
    model = str(inputs.trained())
    captioner = Captioner.load(model, search=search, encoder=False, batch_size=BATCH_SIZE)
    batches = np.split(features, range(BATCH_SIZE, len(features), BATCH_SIZE))
    return [found.text for batch in batches for found in captioner.caption_features(batch)]


def _bleu(inputs: Inputs, names: Sequence[str], captions: Sequence[str]) -> float:
    """BLEU-4 of captions of the photos of these names."""
    known: dict[str, Any] = {
        image.id: image.captions for image in read_captions(inputs.captions_file())
    }
    compared = [
        Comparison(name, caption, "", known[name])
        for name, caption in zip(names, captions, strict=True)
    ]
    words = [one.words for one in compared]
    return scoring.bleu(words, [one.reference_words for one in compared])[3]
