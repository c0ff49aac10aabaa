"""What is measured on: real photos and captions where they are given, or made-up ones."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.speed.measuring import prepare
from captioner import corpora
from captioner.corpora import CaptionedImage

# Of letters only, since figures are no words.
WORDS = [
    f"{number:04d}".translate(str.maketrans("0123456789", "aeioubdkmn")) for number in range(3000)
]
BEAM = 3
TRAINED_ON, GRIDS = 512, 128  # photos


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Photos, captions of them, and what was made of both.

    Args:
        work: where all that is made goes.
        photos: a directory of JPEG files.
        captions: what people made of them; made up where there is none.
        weights: the encoder's, as of ``--encoder-weights``.
        good_model: a captioner that has learned more than `model`.
        count: how many photos the jobs take.
        encoder, image_size: the network that the jobs run, and its input's side in pixels.
    """

    work: Path
    photos: Path
    captions: Path | None
    weights: str
    good_model: Path | None
    count: int
    encoder: str = "xception"
    image_size: int = 299

    @property
    def encoding(self) -> list[object]:
        """The command's flags for the network."""
        weights = ["--encoder-weights", self.weights]
        return ["--encoder", self.encoder, "--image-size", self.image_size, *weights]

    def files(self, count: int) -> list[Path]:
        """So many of the photos, or all there are."""
        return sorted(self.photos.iterdir())[:count]

    def some(self, count: int) -> Path:
        """A directory with so many of the photos."""
        directory = self.work / f"photos_{count}"
        if not directory.exists():
            directory.mkdir(parents=True)
            for file in self.files(count):
                (directory / file.name).symlink_to(file.resolve())
        return directory

    def captions_file(self) -> Path:
        """Captions of all photos, of about ten words."""
        if self.captions:
            return self.captions
        file = self.work / "captions.jsonl"
        if not file.exists():
            file.write_text("".join(_captions(self.photos)))
        return file

    def features(self, kind: str = "pooled") -> Path:
        """Features of some photos, with their captions."""
        directory = self.work / f"features_{kind}"
        if not directory.exists():
            photos = self.some(min(self.count, GRIDS if kind == "grid" else TRAINED_ON))
            prepare(
                *("extract", "--input", photos, "--captions", self.captions_file()),
                *(*self.encoding, "--features", kind),
                *("--output", directory),
            )
        return directory

    def many_features(self) -> Path:
        """Those of many small images, each photo being several, by a network that is soon done."""
        directory = self.work / "features_many"
        if not directory.exists():
            photos = many(self.files(self.count), 6 * self.count, self.work / "photos_many")
            small = ["--encoder", "mobilenetv2", "--encoder-weights", "none", "--image-size", 96]
            prepare(
                *("extract", "--input", photos, "--captions", self._captions_of(photos), *small),
                *("--output", directory),
            )
        return directory

    def _captions_of(self, photos: Path) -> Path:
        """Captions of what `many` made: each has those of the photo that it is."""
        known = {image.id: image.captions for image in read_captions(self.captions_file())}
        file = self.work / "captions_many.jsonl"
        with file.open("w") as lines:
            for photo in sorted(photos.iterdir()):
                for caption in known.get(photo.name.partition("_")[2], ()):
                    lines.write(json.dumps({"image": photo.name, "caption": caption}) + "\n")
        return file

    def model(self, decoder: str = "attention") -> Path:
        """A captioner that has learned how long captions are, and not much more."""
        directory = self.work / f"model_{decoder}"
        if not directory.exists():
            prepare(
                *("train", "--features", self.features(), "--output", directory),
                *("--epochs", 4, "--min-count", 1, "--keep-by", "loss", "--decoder", decoder),
            )
        return directory

    def trained(self) -> Path:
        """The best captioner there is."""
        return self.good_model or self.model()


def many(files: Sequence[Path], count: int, directory: Path) -> Path:
    """A directory of `count` photos at least, each of `files` being as many of them as others."""
    directory.mkdir()
    for file, number in itertools.product(files, range(-(-count // len(files)))):
        (directory / f"{number}_{file.name}").symlink_to(file.resolve())
    return directory


def read_captions(file: Path) -> Iterable[CaptionedImage]:
    """The captioned images of a file."""
    return corpora.read(str(file), None, None)


def draw_photos(directory: Path, count: int, size: tuple[int, int]) -> None:
    """Write made-up photos: soft shapes under fine grain, as long to decode as real ones.

    Args:
        size: pixels across and down.
    """
    directory.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    width, height = size
    for number in range(count):
        soft = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize(size)
        grain = random.normal(0, 6, (height, width, 1))
        pixels = np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(directory / f"{number:06d}.jpg", quality=90)


def _captions(photos: Path) -> list[str]:
    random = np.random.default_rng(0)
    # As in any language, some words are far more frequent than others.
    share = 1 / np.arange(1, len(WORDS) + 1)
    lines = []
    for photo, _ in itertools.product(sorted(photos.iterdir()), range(5)):
        words = random.choice(WORDS, random.integers(7, 14), p=share / share.sum())
        lines.append(json.dumps({"image": photo.name, "caption": " ".join(words)}) + "\n")
    return lines
