"""`captioner compact`."""

from __future__ import annotations

import argparse

from captioner.cli.arguments import (
    add_format,
    add_json,
    add_shard_size,
    add_verb,
    asked,
    make_absolute,
    tell,
)
from captioner.wording import counted


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Copy what holds of an output, grown over many runs, into few full shards."
    example = "captioner compact captions/ captions-2027/"
    parser = add_verb(verbs, "compact", summary, _run, example=example)
    parser.add_argument("output", metavar="OUT", help="made by extract or caption; stays as it is")
    parser.add_argument("target", metavar="NEW", help="a new directory, where jobs can go on")
    add_shard_size(parser)
    add_format(parser, "by default that of OUT")
    add_json(parser)


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    make_absolute(parsed, "output", "target")
    from captioner.compacting import compact

    manifest = compact(
        parsed.output,
        parsed.target,
        shard_size=parsed.shard_size,
        format=parsed.format,
        asked=asked(parsed),
    )
    images = manifest["images"]
    print(
        f"{counted(images['done'], 'result')} and "
        f"{counted(sum(images['failed'].values()), 'failure')} are in "
        f"{counted(len(manifest['shards']), 'shard')} in {parsed.target}"
    )
    tell(parsed, manifest)
