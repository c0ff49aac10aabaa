"""Beam's own flags, and the engine a job runs on."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners import create_runner

from captioner.errors import UserError, guess

# In memory, in this process. Beam's own default, DirectRunner, looks on the network for another
# engine first.
LOCAL_RUNNER = "FnApiRunner"


def parse(flags: Sequence[str], ours: Iterable[str] = ()) -> PipelineOptions:
    """Options from Beam's command-line flags.

    Args:
        flags: Beam's own.
        ours: the flags of the verb, one of which may be meant by a flag that Beam doesn't know.

    Raises:
        UserError: a flag, a word or a runner that Beam doesn't know, or a value it refuses.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
    for options in [PipelineOptions, *_subclasses(PipelineOptions)]:
        if "_add_argparse_args" in vars(options):
            options._add_argparse_args(parser)
    try:
        known, unknown = parser.parse_known_args(list(flags))
    except argparse.ArgumentError as error:
        raise UserError(str(error)) from error
    if unknown:
        kind = "flag" if unknown[0].startswith("-") else "argument"
        hint = guess(unknown[0], [*ours, *parser._option_string_actions])
        raise UserError(
            f"unknown {kind}: {unknown[0]}{hint} (see the verb's --help, or Beam's own flags)"
        )
    if not known.runner:
        return PipelineOptions([*flags, f"--runner={LOCAL_RUNNER}"])
    _check_runner(known.runner)
    return PipelineOptions([*flags])


def _check_runner(name: str) -> None:
    try:
        create_runner(name)
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        raise UserError(f"--runner {name}: {error}") from error


def _subclasses(kind: type) -> list[type]:
    found = []
    for subclass in kind.__subclasses__():
        found += [subclass, *_subclasses(subclass)]
    return found
