"""A captioned collection, whichever format it is in, as one record an image."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from captioner import storage
from captioner.corpora import coco, flickr, tables
from captioner.corpora.rows import Row, read_text
from captioner.corpora.splits import SPLITS, read_splits, split_name, split_of
from captioner.errors import UserError

_READERS = {
    "flickr8k": flickr.rows,  # and Flickr30k
    "coco": coco.rows,
    "jsonl": tables.jsonl_rows,
    "csv": tables.csv_rows,
}
FORMATS = tuple(_READERS)


@dataclass(frozen=True)
class CaptionedImage:
    """An image's captions, in the order and the wording of the file.

    Attributes:
        id: the image's name as the collection has it, NFC normalised.
        captions: at least one; any of them may be empty.
        split: "train", "dev" or "test", or "" where the collection's splits leave it out.
        other_splits: the further splits it is listed in, by mistake.
        languages: of each caption, a BCP 47 tag or ""; no item at all where none is known.
    """

    id: str
    captions: tuple[str, ...]
    split: str = ""
    other_splits: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def tagged(self) -> Iterator[tuple[str, str]]:
        """Each caption with its language, "" where that is not known."""
        return itertools.zip_longest(self.captions, self.languages, fillvalue="")


def read(
    captions: str, captions_format: str | None = None, splits: str | None = None
) -> Iterator[CaptionedImage]:
    """The captioned images of a collection, in its order, one for each image.

    An image's split is what `splits` says, else what the captions file says. If neither says
    anything of any image, `split_of` decides. An image in several splits goes to the one held out
    longest (test, then dev), so that nothing is scored on what it was trained on.

    Args:
        captions: the captions file, or a directory with COCO's; a path, ``gs://`` or ``s3://``.
        captions_format: one of `FORMATS`; found out from the file if not given.
        splits: where the splits are, see `read_splits`.

    Raises:
        UserError: at once, naming the file, the line and what to do.
    """
    tagged: dict[str, list[tuple[str, str]]] = defaultdict(list)
    stated: dict[str, set[str]] = defaultdict(set)
    for row in filter(attrgetter("captions"), _rows(captions, captions_format)):
        _check_text(row, captions)
        tagged[row.id].extend((caption, row.language) for caption in row.captions)
        if split := split_name(row.split, captions):
            stated[row.id].add(split)
    if not tagged:
        raise UserError(f"{captions}: there are no captions in it")
    if splits is not None:
        stated = read_splits(splits)
        _check_overlap(tagged, stated, captions, splits)
    elif not stated:
        stated = {id: {split_of(id)} for id in tagged}
    return (_image(id, found, stated.get(id, ())) for id, found in tagged.items())


def _check_text(row: Row, uri: str) -> None:
    """JSON can hold what is no text: half an emoji, as cutting UTF-16 leaves it."""
    try:
        "".join((row.id, *row.captions)).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{uri}: of {row.id!r}: isn't Unicode text: {error}") from None


def _rows(uri: str, captions_format: str | None) -> Iterable[Row]:
    if captions_format not in (None, *FORMATS):
        raise UserError(f"no captions format {captions_format!r}: use {', '.join(FORMATS)}")
    if storage.is_directory(uri):
        return coco.directory_rows(uri)
    text = read_text(uri)
    return _READERS[captions_format or _detect(text, uri)](text, uri)


def _detect(text: str, uri: str) -> str:
    """The format by the first line; COCO's JSON may be one long line, or many."""
    first = next(filter(str.strip, text.split("\n", 100)), "").strip()
    if first.startswith("{"):
        return "jsonl" if _is_record(first) else "coco"
    if flickr.looks_like(first):
        return "flickr8k"
    if any(separator in first for separator in ",;\t"):
        return "csv"
    raise UserError(
        f"{uri}: can't tell its format from line 1, {first[:40]!r}: give --captions-format "
        f"({', '.join(FORMATS)})"
    )


def _is_record(line: str) -> bool:
    try:
        return "images" not in json.loads(line)
    except ValueError:
        return False


def _check_overlap(
    tagged: Iterable[str], stated: Iterable[str], captions: str, splits: str
) -> None:
    listed = set(stated)
    if listed.isdisjoint(tagged):
        examples = " and ".join(itertools.chain(sorted(listed)[:1], itertools.islice(tagged, 1)))
        raise UserError(
            f"{splits}: none of its {len(listed):,} images has a caption in {captions}: are the "
            f"names alike ({examples})?"
        )


def _image(id: str, tagged: list[tuple[str, str]], splits: Iterable[str]) -> CaptionedImage:
    latest, *others = sorted(splits, key=SPLITS.index, reverse=True) or [""]
    captions, languages = zip(*tagged, strict=True)
    known = languages if any(languages) else ()
    return CaptionedImage(id, captions, latest, tuple(others), known)
