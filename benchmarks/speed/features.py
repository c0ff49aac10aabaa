"""Captions from ready features, beside loops that call `predict` for each word of each image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.speed.inputs import BEAM, Inputs
from benchmarks.speed.measuring import Result, in_turns, seconds
from captioner.decoders import Decoder
from captioner.model import Captioner
from captioner.records import FeatureDataset
from captioner.search import SearchOptions
from captioner.vocabulary import END, START

IMAGES = 256
LOOPED = 2  # images that the loops caption


def measure(inputs: Inputs, rounds: int) -> list[Result]:
    """Greedy search and beam search of width 3, by the tutorials' network and by ours."""
    records = FeatureDataset.load(str(inputs.features())).records("train").take(IMAGES)
    features = np.stack([record["features"] for record in records.as_numpy_iterator()])
    features = features.astype(np.float32)
    searches = (("greedy", 1, 300), (f"beam search of width {BEAM}", BEAM, 120))
    return [
        _beside(f"{name}, {decoder}", inputs.model(decoder), features, width, target, rounds)
        for decoder in ("merge", "attention")
        for name, width, target in searches
    ]


def _beside(
    name: str, model: Path, features: np.ndarray, width: int, target: float, rounds: int
) -> Result:
    contestants = {"ours": _ours(model, features, width), "loop": _loop(model, features, width)}
    found = in_turns(contestants, rounds)
    told = f"{1 / found['ours']:.0f} and {1 / found['loop']:.2f} captions a second"
    return Result(f"{name} / word by word", found["loop"] / found["ours"], target, told)


def _ours(model: Path, features: np.ndarray, width: int) -> Callable[[], float]:
    search = SearchOptions(width=width)
    captioner = Captioner.load(str(model), search=search, encoder=False, batch_size=64)
    captioner.caption_features(features)
    return lambda: seconds(lambda: captioner.caption_features(features)) / len(features)


def _loop(model: Path, features: np.ndarray, width: int) -> Callable[[], float]:
    captioner = Captioner.load(str(model), encoder=False)
    loop = WordByWord(captioner.decoder, captioner.search.options.max_length)

    def caption() -> None:
        for image in features[:LOOPED]:
            loop.search(image[None], width)

    caption()
    return lambda: seconds(caption) / LOOPED


class WordByWord:
    """The loop that tutorials copy from one another: all words so far, padded, for the next."""

    def __init__(self, decoder: Decoder, max_length: int) -> None:
        self._decoder = decoder
        self._max_length = max_length

    def search(self, features: np.ndarray, width: int) -> list[int]:
        """The best of `width` hypotheses, each extended by a `predict` of its own."""
        found: list[tuple[float, list[int]]] = [(0.0, [START])]
        for _ in range(self._max_length):
            extended = []
            for score, words in found:
                if words[-1] == END:
                    extended.append((score, words))
                    continue
                logarithms = self._next(features, words)
                for word in np.argsort(logarithms)[-width:]:
                    extended.append((score + float(logarithms[word]), [*words, int(word)]))
            found = sorted(extended, reverse=True)[:width]
            if all(words[-1] == END for _, words in found):
                break
        return found[0][1]

    def _next(self, features: np.ndarray, words: list[int]) -> np.ndarray:
        tokens = np.zeros((1, 1, self._max_length), np.int32)
        tokens[0, 0, : len(words)] = words[: self._max_length]
        inputs = {"features": features, "tokens": tokens}
        logits = self._decoder.predict(inputs, verbose=0)[0, 0, len(words) - 1]
        return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
