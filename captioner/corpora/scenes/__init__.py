"""Scenes: a captioned collection that the project draws itself, in Flickr8k's layout.

Each scene shows two things of different kinds, in a colour and a size each, one left of or above
the other, before a background. Its five captions state all of that in five wordings.

A quarter of the combinations of kind and colour (`is_held_out`) are seen neither in training nor
in development: every test scene holds at least one of them, and no other scene holds any.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict

import numpy as np
from rich.console import Console
from rich.progress import track

from captioner.corpora.scenes.drawing import draw_scene
from captioner.corpora.scenes.facts import Facts, Thing, imagine, is_held_out
from captioner.corpora.scenes.wording import WORDINGS, is_right, read_facts, tell
from captioner.errors import UserError

__all__ = ["Facts", "Thing", "draw", "is_held_out", "is_right", "read_facts", "tell"]

DEFAULT_COUNT = 12000
IMAGES = "Flicker8k_Dataset"
CAPTIONS = "Flickr8k.token.txt"
SETTINGS = "scenes.json"  # what the collection was drawn with
FORMAT = 1  # raised whenever the same count and seed would draw something else


def draw(directory: str, count: int = DEFAULT_COUNT, seed: int = 0) -> None:
    """Draws a collection of `count` scenes into a directory, the same for the same seed.

    Scenes number 0, 10, 20 ... are the test split, 1, 21, 41 ... the development split. The
    collection appears whole or not at all; one that is there already is left as it is.

    Raises:
        UserError: there are too few scenes for three splits, the directory holds anything else,
            or it can't be written.
    """
    if count < 3:
        raise UserError(f"{count} scenes are too few: three splits need at least 3")
    settings = {"format": FORMAT, "count": count, "seed": seed}
    try:
        if os.path.isdir(directory) and os.listdir(directory):
            return _check_same(directory, settings)
        parent = os.path.dirname(os.path.abspath(directory))
        os.makedirs(parent, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".scenes-") as scratch:
            drawn = os.path.join(scratch, "scenes")
            _draw_all(drawn, settings)
            os.replace(drawn, directory)
    except OSError as error:
        raise UserError(f"cannot draw scenes into {directory}: {error}") from error


def _check_same(directory: str, settings: dict[str, int]) -> None:
    """Raises UserError unless the directory holds the collection of these settings."""
    try:
        with open(os.path.join(directory, SETTINGS), encoding="utf-8") as file:
            found = json.load(file)
    except (FileNotFoundError, ValueError):
        found = None
    if found != settings:
        raise UserError(
            f"{directory} already holds something else than these scenes: choose another directory"
        )


def _draw_all(directory: str, settings: dict[str, int]) -> None:
    os.makedirs(os.path.join(directory, IMAGES))
    captions: list[str] = []
    splits: dict[str, list[str]] = defaultdict(list)
    console = Console(stderr=True)
    hidden = not console.is_terminal
    for index in track(range(settings["count"]), "drawing", console=console, disable=hidden):
        generator = np.random.default_rng([settings["seed"], index])
        name, split = f"scene_{index:06}.jpg", _split(index)
        facts = imagine(generator, held_out=split == "test")
        picture = draw_scene(facts, generator)
        picture.save(os.path.join(directory, IMAGES, name), quality=90)
        splits[split].append(name)
        for number, wording in enumerate(WORDINGS):
            caption = tell(facts, wording, turned=bool(generator.random() < 0.5))
            captions.append(f"{name}#{number}\t{caption[0].upper()}{caption[1:]}")
    _write_lines(os.path.join(directory, CAPTIONS), captions)
    for split, names in splits.items():
        _write_lines(os.path.join(directory, f"Flickr_8k.{split}Images.txt"), names)
    _write_lines(os.path.join(directory, SETTINGS), [json.dumps(settings)])


def _split(index: int) -> str:
    if index % 10 == 0:
        return "test"
    return "dev" if index % 20 == 1 else "train"


def _write_lines(path: str, lines: list[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
