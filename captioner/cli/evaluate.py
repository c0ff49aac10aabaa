"""`captioner evaluate`."""

from __future__ import annotations

import argparse

from captioner import storage
from captioner.cli.arguments import add_captions, add_verb


def add(verbs: argparse._SubParsersAction) -> None:
    parser = add_verb(verbs, "evaluate", "Score captions against references.", _run)
    add_compared(parser)
    parser.add_argument("--show", type=int, default=12, metavar="N", help="captions to print")
    parser.add_argument("--json", metavar="FILE", help="where the scores go too")


def add_compared(parser: argparse.ArgumentParser) -> None:
    """The arguments that say what is held against what."""
    parser.add_argument("--captions", required=True, metavar="OUT", help="made by caption")
    add_captions(parser, "references", required=True)
    parser.add_argument("--split", choices=("train", "dev", "test"), help="test, else dev")


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    from captioner.evaluation import evaluate

    evaluation = evaluate(
        parsed.captions,
        parsed.references,
        parsed.references_format,
        parsed.splits,
        parsed.split,
    )
    print(evaluation.as_text(parsed.show))
    if parsed.json:
        text = evaluation.scores.to_json(parsed.captions, parsed.references)
        storage.replace(parsed.json, text.encode())
