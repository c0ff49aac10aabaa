"""`captioner similar`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from captioner import storage
from captioner.cli.arguments import add_json, add_verb, make_absolute, positive, printable, tell
from captioner.errors import UserError

if TYPE_CHECKING:
    from captioner.similarity import SimilarCaptions


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Find the images of a run whose captions are like that of an image, or like a text."
    example = (
        "captioner similar captions/ --id photos/1.jpg\n"
        "captioner similar captions/ --text 'a dog in the snow' --top 20 --min-similarity 0.5\n"
        "captioner similar captions/ --image new.jpg --model model/"
    )
    parser = add_verb(verbs, "similar", summary, _run, example=example)
    parser.add_argument("captions", metavar="OUT", help="made by caption")
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--id", help="of an image of the run")
    query.add_argument("--text", help="in words")
    query.add_argument("--image", metavar="FILE", help="which --model captions first")
    parser.add_argument("--model", action="append", metavar="MODEL", help="made by train")
    parser.add_argument(
        "--top", type=positive, default=10, metavar="N", help="images at most (default: 10)"
    )
    parser.add_argument(
        "--min-similarity",
        type=_cosine,
        default=0.9,
        metavar="C",
        help="the least cosine of the captions, from 0 to 1 (default: 0.9)",
    )
    add_json(parser)


def _cosine(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError
    return number


_cosine.__name__ = "number from 0 to 1"  # as argparse calls it when it refuses


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    make_absolute(parsed, "captions")
    if bool(parsed.image) != bool(parsed.model):
        raise UserError("--image and --model go together: the model says what is in the image")
    if parsed.image and not storage.exists(parsed.image):
        raise UserError(f"{parsed.image}: no such image")
    from captioner.similarity import SimilarCaptions

    captions = SimilarCaptions.of(parsed.captions)
    text = _text(parsed, captions)
    found = captions.like(text, parsed.top, parsed.min_similarity, but=parsed.id)
    print(printable(f"like: {text}"))
    for one in found:
        print(printable(f"{one.similarity:.2f}  {one.image.id}  {one.image.caption}"))
    if not found:
        print("none; a lower --min-similarity may find some")
    neighbours = [{**one.image._asdict(), "similarity": one.similarity} for one in found]
    tell(parsed, {"text": text, "neighbours": neighbours})


def _text(parsed: argparse.Namespace, captions: SimilarCaptions) -> str:
    """What captions are to be like."""
    if parsed.text is not None:
        return parsed.text
    if parsed.id is not None:
        image = captions.image(parsed.id)
        if image is None:
            raise UserError(f"{parsed.id}: no image of this id is captioned in {parsed.captions}")
        return image.caption
    from captioner.model import Captioner

    captioner = Captioner.load(*parsed.model, batch_size=1, engine="tensorflow")
    return captioner.caption([parsed.image])[0].text
