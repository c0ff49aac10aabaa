"""`captioner evaluate`."""

from __future__ import annotations

import argparse
import functools
import json
import math

from captioner.cli.arguments import add_captions, add_json, add_verb, show, tell, within


def add(verbs: argparse._SubParsersAction) -> None:
    example = "captioner evaluate --captions captions/ --references captions.csv --html scores.html"
    summary = "Score captions against references."
    parser = add_verb(verbs, "evaluate", summary, _run, example=example)
    add_compared(parser)
    parser.add_argument("--beside", metavar="OUT", help="other captions, to be scored beside them")
    number = functools.partial(within, least=0, most=math.inf, kind=int)
    parser.add_argument("--show", type=number, default=12, metavar="N", help="captions to print")
    add_json(parser)
    parser.add_argument(
        "--html", metavar="FILE", help="a page of the scores, and of the best and worst captions"
    )


def add_compared(parser: argparse.ArgumentParser) -> None:
    """The arguments that say what is held against what."""
    parser.add_argument("--captions", required=True, metavar="OUT", help="made by caption")
    add_captions(parser, "references", required=True)
    parser.add_argument(
        "--split",
        choices=("train", "dev", "test", "all"),
        help="whose images count; by default test's, or dev's; all for every image tried",
    )


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    from captioner.evaluation import evaluate

    references = (parsed.references, parsed.references_format, parsed.splits)
    evaluation = evaluate(parsed.captions, *references, parsed.split)
    evaluations = [(parsed.captions, evaluation)]
    show(evaluation.as_text(parsed.show))
    if parsed.beside:
        other = evaluate(parsed.beside, *references, evaluation.scores.split)
        print(f"beside it, {parsed.beside}:\n{other.scores.as_text()}")
        evaluations.append((parsed.beside, other))
    tell(parsed, json.loads(evaluation.scores.to_json(parsed.captions, parsed.references)))
    if parsed.html:
        from captioner.reporting import compare

        compare(evaluations, parsed.html)
        print(f"{parsed.html} is written; open it in a browser")
