"""`captioner scenes`."""

from __future__ import annotations

import argparse

from captioner.cli.arguments import add_verb, positive


def add(verbs: argparse._SubParsersAction) -> None:
    example = "captioner scenes --output scenes/ --count 2000"
    summary = "Draw a captioned collection to try things on."
    parser = add_verb(verbs, "scenes", summary, _run, example=example)
    parser.add_argument("--output", required=True, metavar="DIR", help="where the collection goes")
    parser.add_argument(
        "--count", type=positive, default=12000, metavar="N", help="pictures to draw"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="draws another collection")


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    from captioner.corpora import scenes

    scenes.draw(parsed.output, parsed.count, parsed.seed)
    print(f"{parsed.count} scenes with their captions are in {parsed.output}")
