"""`python -m pipelines.dataflow`, which is what run_dataflow.sh calls: checks, then the command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from captioner import cli
from captioner.errors import UserError
from pipelines.dataflow import checking, settings


def main(arguments: Sequence[str]) -> int:
    """Run a verb of the command on Dataflow, unless something is missing or wrong.

    With ``--dry-run`` it says what is missing and goes on, since that needs nothing of Dataflow.

    Returns:
        The exit status.
    """
    asked, others = settings.parse(arguments)
    found = checking.problems(asked, others) + checking.obstacles(asked)
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    if found and "--dry-run" not in others:
        return UserError.status
    for remark in checking.remarks(asked):
        print(f"note: {remark}", file=sys.stderr)
    return cli.main(settings.command(asked, others))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
