"""`captioner caption`: one image now, or a job over all of a directory or bucket."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from captioner import storage
from captioner.cli.arguments import (
    PIPELINE_NOTE,
    add_every,
    add_format,
    add_job,
    add_verb,
    given,
    importing,
    make_absolute,
    positive,
    printable,
    run_job,
    tell,
)
from captioner.corpora import language_tag
from captioner.errors import UserError

if TYPE_CHECKING:
    from captioner.model import Caption, Captioner

# Flags that say nothing of images that are captioned on the terminal.
_OF_A_JOB = ("dedupe", "dry_run", "force", "max_failures", "no_wait", "price_per_hour")


def add(verbs: argparse._SubParsersAction, is_job: bool) -> None:
    summary = "Caption one image now, or with --input all images of a directory or bucket."
    example = (
        "captioner caption one.jpg --model model/\n"
        "captioner caption --input photos/ --model model/ --output captions/ --max-failures 5%"
    )
    parser = add_verb(verbs, "caption", summary, _run, takes_beam_flags=is_job, example=example)
    # With --input every further word is the value of one of Beam's flags.
    if not is_job:
        parser.add_argument("images", nargs="*", metavar="IMAGE", help="image files, or a film")
    add_model(parser)
    parser.add_argument(
        "--input", metavar="DIR|LIST|FEATURES", help="a directory, gs://, s3://, list, or features"
    )
    parser.add_argument("--output", metavar="OUT", help="where the captions go")
    parser.add_argument(
        "--split",
        choices=("train", "dev", "test"),
        default="",
        help="of features, only these",
    )
    add_search(parser)
    parser.add_argument(
        "--attention",
        action="store_true",
        default=None,
        help="also keep where the model looked for each word; needs features of a grid",
    )
    add_film(parser)
    default = "by default that of the captions there are, or jsonl; of a film's vtt and srt too"
    add_format(parser, default, "vtt", "srt")
    add_job(parser)
    if not is_job:  # whose help is the one that is seen
        parser.epilog = f"{parser.epilog}\nWith --input: {PIPELINE_NOTE}"


def add_film(parser: argparse.ArgumentParser) -> None:
    """Which frames of a film are captioned."""
    frames = parser.add_mutually_exclusive_group()
    add_every(frames)
    frames.add_argument(
        "--scenes", action="store_true", help="of a film alone, a frame of each scene instead"
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """The models that caption."""
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="MODEL",
        help="made by train; several, each with its --model, caption together",
    )


def add_search(verb: argparse.ArgumentParser) -> None:
    """How captions are searched for: the names are those of `captioner.search.SearchOptions`."""
    parser = verb.add_argument_group("the search")
    parser.add_argument(
        "--width", type=positive, metavar="N", help="of the beam search; 1 is greedy (default: 5)"
    )
    parser.add_argument(
        "--max-length", type=positive, metavar="N", help="words of a caption, at most (default: 30)"
    )
    parser.add_argument("--min-length", type=positive, metavar="N", help="words, at least")
    parser.add_argument(
        "--length-penalty",
        type=float,
        metavar="A",
        help="the more, the longer captions (default: 0.7)",
    )
    parser.add_argument(
        "--no-repeat-ngram",
        type=positive,
        metavar="N",
        help="so many words in a row never come twice in a caption",
    )
    parser.add_argument(
        "--forbid", type=_words, metavar="WORD,...", help="words that are never said"
    )
    parser.add_argument(
        "--candidates",
        type=positive,
        metavar="N",
        help="captions kept of an image; by default as many as --width",
    )
    parser.add_argument(
        "--sample",
        action="store_true",
        default=None,
        help="draw --width captions at random; an image's are the same whatever is beside it",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="below 1 the model is surer of its words (default: 1.0)",
    )
    parser.add_argument(
        "--top-k", type=positive, metavar="N", help="draw from the N most probable words"
    )
    parser.add_argument(
        "--top-p",
        type=float,
        metavar="P",
        help="draw from those that make up this probability (default: 1.0)",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="of what is drawn (default: 0)")
    parser.add_argument(
        "--language",
        type=language_tag,
        metavar="TAG",
        help="of the captions, one that was trained on; by default the most frequent of them",
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _run(parsed: argparse.Namespace, flags: list[str]) -> None:
    if not parsed.input:
        return _caption_now(parsed)
    if not parsed.output:
        raise UserError("--input needs --output too: where the captions go")
    if parsed.format in ("vtt", "srt"):
        raise UserError(f"{parsed.format} is of one film; `captioner subtitles` writes a job's")
    if parsed.scenes:
        raise UserError("--scenes is for a film alone; a job takes its frames at --every")
    make_absolute(parsed, "input", "output")
    parsed.model = [*map(storage.absolute, parsed.model)]
    from captioner.listing import paths

    paths.check(parsed.input, parsed.output)
    with importing():
        from captioner.model import Captioner
        from captioner.search import SearchOptions
        from pipelines import caption_images, checking
        from pipelines.job import JobOptions

    checking.check_sample(parsed.input, parsed.output)
    search = given(parsed, SearchOptions)
    captioner = Captioner.load(*parsed.model, search=search, encoder=False)
    say_language(parsed, captioner, sys.stdout)
    options = given(parsed, JobOptions)
    job = caption_images.job(
        parsed.input, parsed.output, captioner, parsed.format, options, parsed.split
    )
    work = caption_images.work(job, captioner, parsed.model, search)
    run_job(parsed, job, work, "captions", flags)


def _caption_now(parsed: argparse.Namespace) -> None:
    _check_now(parsed)
    absent = {image: _absence(image) for image in parsed.images}
    if all(absent.values()):
        return _tell_now(parsed, [(image, absent[image]) for image in parsed.images])
    from captioner import videos

    if any(map(videos.is_video, parsed.images)):
        from captioner.cli import film

        return film.caption_now(parsed)
    if parsed.every or parsed.scenes or parsed.format:
        raise UserError("--every, --scenes and --format are for a film, or go with --input")
    captioner = _load_now(parsed)
    outcomes = []
    for image in parsed.images:
        found = absent[image] or _attempt(captioner, image)
        outcomes.append((image, found))
        if not isinstance(found, str):
            print(printable(f"{image}: {found.text}" if len(parsed.images) > 1 else found.text))
    _tell_now(parsed, outcomes)


def _check_now(parsed: argparse.Namespace) -> None:
    """Refuse what is for a job."""
    if not parsed.images:
        raise UserError("name an image, or a directory with --input and --output")
    if parsed.output:
        raise UserError("--output goes with --input; what is named is captioned on the terminal")
    if parsed.split:
        raise UserError("--split goes with --input FEATURES")
    if parsed.attention:
        raise UserError("--attention is kept in a job's records: give --input and --output")
    for name in _OF_A_JOB:
        if getattr(parsed, name) not in (None, False):
            raise UserError(f"--{name.replace('_', '-')} goes with --input")


def _absence(image: str) -> str:
    """Why there is nothing to read, known before a network is loaded; empty where there is."""
    try:
        if storage.exists(image):
            return ""
        is_one = storage.is_directory(image)
    except (OSError, UserError) as error:
        return str(error).removeprefix(f"{image}: ")
    return "a directory; say --input and --output" if is_one else "no such image"


def _load_now(parsed: argparse.Namespace) -> Captioner:
    with importing():
        from captioner.model import Captioner
        from captioner.search import SearchOptions

    search = given(parsed, SearchOptions)
    # For some images another engine isn't worth compiling the network for, unless it is asked for.
    engine = "tensorflow" if parsed.engine == "auto" else parsed.engine
    captioner = Captioner.load(*parsed.model, search=search, batch_size=1, engine=engine)
    say_language(parsed, captioner)
    return captioner


def _attempt(captioner: Captioner, image: str) -> Caption | str:
    """An image's caption, or why it has none."""
    try:
        return captioner.caption([image])[0]
    except UserError as error:
        return str(error).removeprefix(f"{image}: ")


def _tell_now(parsed: argparse.Namespace, outcomes: Sequence[tuple[str, Caption | str]]) -> None:
    """Write what became of each image where `--json` says, and name those that have no caption.

    Raises:
        UserError: there are any; where only one image was asked for, it says why.
    """
    failed = [(image, found) for image, found in outcomes if isinstance(found, str)]
    made = [(image, found) for image, found in outcomes if not isinstance(found, str)]
    rows = [{"image": image, **_as_record(caption)} for image, caption in made]
    why = [{"image": image, "message": message} for image, message in failed]
    tell(parsed, {"captions": rows, "failed": why})
    if failed:
        _refuse([printable(f"{image}: {message}") for image, message in failed], len(outcomes))


def _as_record(caption: Caption) -> dict[str, Any]:
    """A caption as a job's records have it."""
    from captioner.captions import said

    candidates = [said(*candidate) for candidate in caption.candidates]
    return {**said(caption.text, caption.log_probability), "candidates": candidates}


def _refuse(problems: Sequence[str], images: int) -> NoReturn:
    if images == 1:
        raise UserError(problems[0])
    for problem in problems:
        print(problem, file=sys.stderr)
    raise UserError(f"{len(problems)} of {images} images have no caption")


def say_language(
    parsed: argparse.Namespace, captioner: Captioner, file: TextIO | None = None
) -> None:
    """Where there was a choice and the user made none; to standard error by default."""
    known = captioner.vocabulary.languages
    if len(known) > 1 and not parsed.language:
        message = f"captions in {captioner.language}; with --language in {', '.join(known[1:])}"
        print(message, file=file or sys.stderr)
