"""`captioner caption`: one image now, or a job over all of a directory or bucket."""

from __future__ import annotations

import argparse

from captioner import storage
from captioner.cli.arguments import (
    add_format,
    add_job,
    add_verb,
    given,
    make_absolute,
    positive,
    run_job,
)
from captioner.errors import UserError


def add(verbs: argparse._SubParsersAction, is_job: bool) -> None:
    summary = "Caption one image now, or with --input all images of a directory or bucket."
    parser = add_verb(verbs, "caption", summary, _run, takes_beam_flags=is_job)
    # With --input every further word is the value of one of Beam's flags.
    if not is_job:
        parser.add_argument("images", nargs="*", metavar="IMAGE", help="image files")
    parser.add_argument("--model", required=True, metavar="MODEL", help="made by train")
    parser.add_argument(
        "--input", metavar="DIR|LIST|FEATURES", help="a directory, gs://, s3://, list, or features"
    )
    parser.add_argument("--output", metavar="OUT", help="where the captions go")
    parser.add_argument(
        "--width", type=positive, metavar="N", help="of the beam search; 1 is greedy"
    )
    parser.add_argument(
        "--max-length", type=positive, metavar="N", help="words of a caption, at most"
    )
    parser.add_argument("--length-penalty", type=float, metavar="A", help="more, longer captions")
    add_format(parser, "by default that of the captions there are, or jsonl")
    add_job(parser)


def _run(parsed: argparse.Namespace, flags: list[str]) -> None:
    if not parsed.input:
        return _caption_now(parsed)
    if not parsed.output:
        raise UserError("--input needs --output too: where the captions go")
    from pipelines import checking, options

    options.parse(flags)
    make_absolute(parsed, "input", "output", "model")
    checking.check_paths(parsed.input, parsed.output)
    checking.check_sample(parsed.input, parsed.output)
    from captioner.model import Captioner
    from captioner.search import SearchOptions
    from pipelines import caption_images
    from pipelines.job import JobOptions

    search = given(parsed, SearchOptions)
    captioner = Captioner.load(parsed.model, search, encoder=False)
    options = given(parsed, JobOptions)
    job = caption_images.job(parsed.input, parsed.output, captioner, parsed.format, options)
    work = caption_images.work(job, captioner, parsed.model, search)
    run_job(parsed, job, work, "captions", flags)


def _caption_now(parsed: argparse.Namespace) -> None:
    if not parsed.images:
        raise UserError("name an image, or a directory with --input and --output")
    for image in parsed.images:
        if not storage.exists(image):
            raise UserError(f"{image}: no such image")
    from captioner.model import Captioner
    from captioner.search import SearchOptions

    captioner = Captioner.load(parsed.model, given(parsed, SearchOptions), batch_size=1)
    for image, caption in zip(parsed.images, captioner.caption(parsed.images), strict=True):
        print(f"{image}: {caption.text}" if len(parsed.images) > 1 else caption.text)
