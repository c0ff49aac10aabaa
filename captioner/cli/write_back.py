"""`captioner write-back`."""

from __future__ import annotations

import argparse

from captioner.cli.arguments import add_json, add_verb, make_absolute, printable, tell
from captioner.errors import ProblemsFound
from captioner.wording import counted


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Write captions to where the images are: texts beside them, or into their metadata."
    example = (
        "captioner write-back captions/ --dry-run\ncaptioner write-back captions/ --into image"
    )
    parser = add_verb(verbs, "write-back", summary, _run, example=example)
    parser.add_argument("captions", metavar="OUT", help="made by caption")
    parser.add_argument(
        "--into",
        choices=("text", "image"),
        default="text",
        help="photo.txt beside photo.jpg, or the description in XMP of a JPEG, PNG, WebP or TIFF",
    )
    parser.add_argument(
        "--below", metavar="DIR", help="where images may be, besides the inputs of OUT's runs"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="also replace what OUT has never said"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be written")
    add_json(parser)


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    make_absolute(parsed, "captions", "below")
    from captioner.writing_back import write_back

    written = there = problems = 0
    settings = (parsed.into, parsed.below, parsed.overwrite, parsed.dry_run)
    for one in write_back(parsed.captions, *settings):
        written += one.is_new
        there += not (one.is_new or one.problem)
        if one.problem:
            problems += 1
            print(printable(f"{one.id}: {one.problem}"))
    done = "would be written" if parsed.dry_run else "written"
    new = counted(written, "caption")
    print(f"{new} {done}, {there:,} there already, {problems:,} can't be written")
    tell(parsed, {"written": written, "there_already": there, "not_written": problems})
    if problems:
        missing = counted(problems, "caption")
        raise ProblemsFound(f"{parsed.captions}: {missing} not written, named above")
