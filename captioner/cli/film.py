"""What `captioner caption` does to one film."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Iterator

from captioner import storage, videos
from captioner.cli.arguments import given, importing, tell
from captioner.cli.caption import say_language
from captioner.errors import UserError
from captioner.images import ImageError
from captioner.videos import writing
from captioner.videos.writing import SUBTITLES


def caption_now(parsed: argparse.Namespace) -> None:
    """Caption the film that was named, on the terminal."""
    film, *others = parsed.images
    if others:
        raise UserError("a film goes alone; --input captions all of a directory")
    if parsed.format not in (None, "jsonl", *SUBTITLES):
        raise UserError(f"a film's captions can't be {parsed.format}; choose jsonl, vtt or srt")
    with importing():
        from captioner.model import Captioner
        from captioner.search import SearchOptions

    try:
        with videos.opened(storage.absolute(film)) as opened:
            search = given(parsed, SearchOptions)
            captioner = Captioner.load(
                *parsed.model, search=search, batch_size=parsed.batch_size, engine=parsed.engine
            )
            say_language(parsed, captioner)
            chosen = _chosen(parsed, opened)
            found: list[videos.Stretch] = []
            stretches = _kept(videos.caption(opened, chosen, captioner), found)
            for part in _written(parsed, stretches):
                print(part, end="", flush=True)
            tell(parsed, {"stretches": [dataclasses.asdict(one) for one in found]})
            if opened.problem:
                raise opened.problem
    except ImageError as error:
        raise UserError(f"{film}: {error}") from error


def _kept(
    stretches: Iterable[videos.Stretch], found: list[videos.Stretch]
) -> Iterator[videos.Stretch]:
    for one in stretches:
        found.append(one)
        yield one


def _chosen(parsed: argparse.Namespace, film: videos.Film) -> Iterator[videos.Chosen]:
    if parsed.scenes:
        return videos.by_scene(film)
    return videos.by_interval(film, parsed.every or videos.EVERY)


def _written(parsed: argparse.Namespace, stretches: Iterator[videos.Stretch]) -> Iterator[str]:
    if parsed.format in SUBTITLES:
        return SUBTITLES[parsed.format](stretches)
    if parsed.format == "jsonl":
        return writing.jsonl(stretches, storage.name(parsed.images[0]))
    return writing.lines(stretches)
