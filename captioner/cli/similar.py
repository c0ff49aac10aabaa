"""`captioner similar`."""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING

from captioner import storage
from captioner.cli.arguments import (
    Arguments,
    add_json,
    add_verb,
    make_absolute,
    positive,
    printable,
    tell,
    within,
)
from captioner.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from captioner.similarity import Neighbour, Similar


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Find the images of a run that are like an image or a text."
    example = (
        "captioner similar captions/ --id 1.jpg\n"
        "captioner similar captions/ --text 'a dog in the snow' --top 20 --min-similarity 0.5\n"
        "captioner similar captions/ --image new.jpg --model model/\n"
        "captioner similar features/ --image new.jpg"
    )
    parser = add_verb(verbs, "similar", summary, _run, example=example)
    parser.add_argument("output", metavar="OUT", help="captions made by caption, or features")
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--id", help="of an image of the run")
    query.add_argument("--text", help="in words")
    query.add_argument("--image", metavar="FILE", help="of the run, or any other")
    parser.add_argument(
        "--model", action="append", metavar="MODEL", help="which captions another --image"
    )
    add_likeness(parser, 10)
    add_json(parser)


def add_likeness(parser: Arguments, top: int) -> None:
    """What images are compared by, and how like they are to be."""
    parser.add_argument(
        "--by",
        default="",
        metavar="words|spacy:NAME|sentence-transformers:NAME",
        help="what captions are compared by: their words, or a model of texts; words by default",
    )
    parser.add_argument("--top", type=positive, default=top, metavar="N", help="images at most")
    parser.add_argument(
        "--min-similarity",
        type=functools.partial(within, least=0, most=1),
        default=0.9,
        metavar="C",
        help="the least cosine, from 0 to 1",
    )


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    make_absolute(parsed, "output", "image")
    if parsed.model and not parsed.image:
        raise UserError("--model goes with --image: it says what is in it")
    if parsed.image and not storage.exists(parsed.image):
        raise UserError(f"{parsed.image}: no such image")
    similar = load(parsed)
    asked, found = _asked(parsed, similar)
    print(printable(f"like: {asked}"))
    for one in found:
        print(printable(f"{one.similarity:.2f}  {one.image.id}  {one.image.caption}".rstrip()))
    if not found:
        lower = "a lower --min-similarity may find some"
        print(f"none; {lower}" if parsed.min_similarity else "none: they have no word in common")
    neighbours = [{**one.image._asdict(), "similarity": one.similarity} for one in found]
    tell(parsed, {"like": asked, "neighbours": neighbours})


def load(parsed: argparse.Namespace) -> Similar:
    """The images that were named, with a word about an index that can't be kept."""
    from captioner.similarity import Similar

    similar = Similar.of(parsed.output, parsed.by)
    if similar.unkept:
        print(f"the index is made anew each time, as it can't be kept: {similar.unkept}")
    return similar


def _asked(parsed: argparse.Namespace, similar: Similar) -> tuple[str, list[Neighbour]]:
    """What was asked for, in words, and the images that are like it."""
    from captioner.similarity import FEATURES

    bounds = (parsed.top, parsed.min_similarity)
    image = similar.image_at(parsed.image) if parsed.image else None
    id = image.id if image else parsed.id
    if id is not None:
        found = similar.like_image(id, *bounds)
        image = image or similar.image(id)
        return image.caption or id, found
    if similar.by == FEATURES:
        return parsed.image, similar.like(_features(parsed), *bounds)
    text = _caption(parsed) if parsed.image else parsed.text
    return text, similar.like(text, *bounds)


def _features(parsed: argparse.Namespace) -> np.ndarray:
    """What the encoder of the features sees in an image that they haven't."""
    if not parsed.image:
        raise UserError(f"{parsed.output}: features know no words; ask by --image or --id")
    from captioner.encoders import Encoder
    from captioner.model import pixels_of
    from captioner.records import FeatureDataset

    dataset = FeatureDataset.load(parsed.output)
    encoder = Encoder.load(dataset.encoder, dataset.encoder_weights, "tensorflow")
    return encoder.encode(pixels_of(parsed.image, dataset.encoder.image_size)[None])[0]


def _caption(parsed: argparse.Namespace) -> str:
    """What the model says of an image that the run hasn't."""
    if not parsed.model:
        raise UserError(f"{parsed.image}: not in the run; give --model, to say what is in it")
    from captioner.model import Captioner

    captioner = Captioner.load(*parsed.model, batch_size=1, engine="tensorflow")
    return captioner.caption([parsed.image])[0].text
