"""Starts a job from a flex template: what the launcher in the image runs, once for each job.

The launcher gives each parameter of the template, and each setting of its environment, as
``--name=value``. They become the words of run_dataflow.sh, whose checks so come first here too. The
job runs on by itself: its own last step writes the manifest, and nobody need be there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from captioner.errors import UserError
from pipelines import options
from pipelines.dataflow.__main__ import main

_HERE = Path(__file__).parent

# What the launcher calls otherwise than run_dataflow.sh.
_RENAMED = {
    "temp_location": "bucket",
    "machine_type": "machine-type",
    "worker_machine_type": "machine-type",
}


def words(arguments: Sequence[str], image: str) -> list[str]:
    """The arguments of run_dataflow.sh.

    Args:
        arguments: the launcher's, each ``--name=value`` or ``--name``.
        image: this image's own name, which workers run too.
    """
    pairs = [tuple(argument.removeprefix("--").partition("=")[::2]) for argument in arguments]
    # The template of caption asks for a model, that of extract knows none.
    verb = "caption" if dict(pairs).get("model") else "extract"
    metadata = json.loads((_HERE / f"{verb}.json").read_text())
    types = {parameter["name"]: parameter["paramType"] for parameter in metadata["parameters"]}
    given = [word for name, value in pairs for word in _word(name, value, types)]
    return [verb, f"--worker-image={image}", "--no-wait", *given]


def _word(name: str, value: str, types: dict[str, str]) -> Iterator[str]:
    flag = f"--{_RENAMED.get(name) or name.replace('_', '-')}"
    if name == "runner":
        return
    if types.get(name) == "BOOLEAN":
        yield from [flag] if value == "true" else []
    elif name in types or name in _RENAMED:
        yield from [f"{flag}={value}"] if value else []  # the console sends what is left empty
    else:
        yield from _beam_flag(f"--{name}={value}" if value else f"--{name}")


def _beam_flag(flag: str) -> Iterator[str]:
    """A flag that the launcher adds, where Beam knows it: the service may be newer than Beam."""
    try:
        options.parse([flag])
    except UserError as error:
        print(f"note: left out: {error}", file=sys.stderr)
    else:
        yield flag


if __name__ == "__main__":
    sys.exit(main(words(sys.argv[1:], os.environ.get("CAPTIONER_IMAGE", ""))))
