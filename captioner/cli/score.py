"""`captioner score`: what `evaluate` says, from a job."""

from __future__ import annotations

import argparse

from captioner.cli.arguments import add_verb, given, importing, make_absolute
from captioner.cli.evaluate import add_compared


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Score captions against references as evaluate does, as a job for very many."
    example = (
        "captioner score --captions s3://bucket/captions --references s3://bucket/captions.csv "
        "--output s3://bucket/scores.json"
    )
    parser = add_verb(verbs, "score", summary, _run, takes_beam_flags=True, example=example)
    add_compared(parser)
    parser.add_argument("--output", required=True, metavar="FILE", help="where the scores go")


def _run(parsed: argparse.Namespace, flags: list[str]) -> None:
    make_absolute(parsed, "captions", "references", "splits", "output")
    with importing():
        from pipelines import score_captions

    job = given(parsed, score_captions.ScoreJob)
    print(score_captions.run(job, flags).as_text())
    print(f"the scores are in {parsed.output}")
