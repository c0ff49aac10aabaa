"""`captioner subtitles`."""

from __future__ import annotations

import argparse

from captioner.cli.arguments import add_json, add_verb, make_absolute, tell
from captioner.wording import counted


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Write the captions of each film in a caption output as WebVTT or SRT."
    example = "captioner subtitles captions/ --output subtitles/ --format srt"
    parser = add_verb(verbs, "subtitles", summary, _run, example=example)
    parser.add_argument("captions", metavar="OUT", help="made by caption")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the files go")
    parser.add_argument("--format", choices=("vtt", "srt"), default="vtt", help="of the files")
    add_json(parser)


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    make_absolute(parsed, "captions", "output")
    from captioner import subtitles

    count = subtitles.write(parsed.captions, parsed.output, parsed.format)
    print(f"{counted(count, 'file')} of subtitles in {parsed.output}")
    tell(parsed, {"directory": parsed.output, "films": count})
