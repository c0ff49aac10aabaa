"""`captioner neighbours`."""

from __future__ import annotations

import argparse

from captioner.cli.arguments import add_json, add_verb, importing, make_absolute, tell
from captioner.cli.similar import add_likeness


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Find the images that are like each image of a run, near-duplicates too, as a job."
    example = (
        "captioner neighbours captions/ --output alike/\n"
        "captioner neighbours features/ --output duplicates/ --min-similarity 0.98"
    )
    parser = add_verb(verbs, "neighbours", summary, _run, takes_beam_flags=True, example=example)
    parser.add_argument("images", metavar="OUT", help="captions made by caption, or features")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the neighbours go")
    add_likeness(parser, 10)
    add_json(parser)


def _run(parsed: argparse.Namespace, flags: list[str]) -> None:
    make_absolute(parsed, "images", "output")
    with importing():
        from pipelines import find_neighbours

    bounds = (parsed.by, parsed.top, parsed.min_similarity)
    job = find_neighbours.NeighboursJob(parsed.images, parsed.output, *bounds)
    found = find_neighbours.run(job, flags)
    print(f"{found['with_neighbours']:,} of {found['seen']:,} images have neighbours")
    print(f"they are in {parsed.output}")
    tell(parsed, {"directory": parsed.output, "images": found})
