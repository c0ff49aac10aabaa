"""`captioner report`."""

from __future__ import annotations

import argparse

from captioner import storage
from captioner.cli.arguments import add_json, add_verb, make_absolute, tell


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Write what became of an output as one page of HTML, with a gallery."
    parser = add_verb(verbs, "report", summary, _run, example="captioner report captions/")
    parser.add_argument("captions", metavar="OUT", help="made by caption")
    parser.add_argument("--output", metavar="FILE", help="the page; OUT/report.html by default")
    add_json(parser)


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    make_absolute(parsed, "captions", "output")
    from captioner.reporting import report

    file = parsed.output or storage.join(parsed.captions, "report.html")
    found = report(parsed.captions, file)
    print(f"{file} is written; open it in a browser")
    tell(parsed, {"page": file, **found.figures()})
