"""`captioner verify`."""

from __future__ import annotations

import argparse
import dataclasses

from captioner.cli.arguments import add_json, add_verb, make_absolute, printable, tell
from captioner.errors import ProblemsFound
from captioner.wording import counted


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Check that an output is whole: its files against its manifests and indexes."
    parser = add_verb(verbs, "verify", summary, _run, example="captioner verify captions/")
    parser.add_argument("output", metavar="OUT", help="made by extract or caption")
    add_json(parser)


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    make_absolute(parsed, "output")
    from captioner.verifying import verify

    report = verify(parsed.output)
    for problem in report.problems:
        print(printable(str(problem)))
    print(report)
    problems = [problem._asdict() for problem in report.problems]
    tell(parsed, {**dataclasses.asdict(report), "problems": problems})
    if report.problems:
        found = counted(len(problems), "problem")
        raise ProblemsFound(f"{parsed.output}: {found}, named above")
