"""What the verbs share: the parser, arguments that several of them take, and reading them."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import gc
import json
import math
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from captioner import storage
from captioner.errors import TooManyFailures, UserError, guess
from captioner.wording import counted
from pipelines.job import MaxFailures

if TYPE_CHECKING:
    from pipelines.job import Job
    from pipelines.jobs import Work

# What decides whether what a job made is still what it would make.
_MADE_BY = {
    "features": "another encoder, or by other settings of it",
    "captions": "another model or search",
}

# Not printable to Python, but a part of texts: they join letters, part them, and turn them.
_IN_TEXTS = "\u200c\u200d\u200e\u200f"

# What arguments are added to: a verb, or a group of its arguments.
Arguments = argparse.ArgumentParser | argparse._ArgumentGroup

PIPELINE_NOTE = "Beam's own flags pass through: --runner, --direct_num_workers, --temp_location ..."


class HelpFormatter(argparse.HelpFormatter):
    """Shows a default where there is one to show, and examples line by line as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 14  # at least, as it forgets how far verbs are indented

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)

    def _get_help_string(self, action: argparse.Action) -> str:
        shown = action.default not in (None, "", [], argparse.SUPPRESS)
        shown = shown and not isinstance(action.default, bool)
        return f"{action.help} (default: %(default)s)" if shown else action.help or ""


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line, as all others are, with a guess at what was meant."""

    _words: Sequence[str] = ()

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        known = self._option_string_actions
        self._words = [word for word in args or () if word.partition("=")[0] not in known]
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += guess(str(value), map(str, action.choices))
            raise

    def error(self, message: str) -> NoReturn:
        # A flag that is missing may be there, mistyped.
        missing = self._option_string_actions.keys() & message.replace(",", "").split()
        flags = [word for word in self._words if word.startswith("-")]
        meant = (
            f"unknown argument: {word}{hint}" for word in flags if (hint := guess(word, missing))
        )
        raise UserError(f"{next(meant, message)} (see `{self.prog} --help`)")


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    return int(within(text, 1, math.inf, "a whole number", int))


def seconds(text: str) -> float:
    """Seconds from a hundredth on, for argparse."""
    return within(text, 0.01, 1e6, "a number of seconds")


def within(
    text: str, least: float, most: float, name: str = "a number", kind: type = float
) -> float:
    """A number between two bounds, for argparse.

    Args:
        name: what it is called where it is none.
        kind: `float`, or `int`.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        number = kind(text)
        if least <= number <= most:
            return number
    except ValueError:
        pass
    bounds = f"from {least:g}" + (f" to {most:,.0f}" if math.isfinite(most) else "")
    raise argparse.ArgumentTypeError(f"{text!r} isn't {name} {bounds}")


def add_verb(
    verbs: argparse._SubParsersAction,
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace, list[str]], None],
    takes_beam_flags: bool = False,
    example: str = "",
) -> argparse.ArgumentParser:
    """A verb of the command.

    Args:
        run: is called with what was parsed, and Beam's own flags.
        example: how it is called, a command a line; docs/reference.md shows it too.
    """
    notes = [f"example:\n{textwrap.indent(example, '  ')}\n"] if example else []
    notes += [PIPELINE_NOTE] if takes_beam_flags else []
    parser = verbs.add_parser(
        name,
        help=summary,
        description=summary,
        epilog="\n".join(notes) or None,
        allow_abbrev=False,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run, takes_beam_flags=takes_beam_flags)
    return parser


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The verbs of the command, by name."""
    found = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return next(found).choices


def add_json(parser: argparse.ArgumentParser) -> None:
    """Where what a verb did goes for scripts; see `tell`."""
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="what came of it as one JSON object; with - it is all that goes to standard output",
    )


def tell(parsed: argparse.Namespace, came_of_it: Mapping[str, Any]) -> None:
    """Write what a verb did where `--json` says, if it does."""
    text = json.dumps(came_of_it, indent=1, ensure_ascii=False) + "\n"
    if parsed.json == "-":
        parsed.standard_output.write(text)
    elif parsed.json:
        storage.replace(parsed.json, text.encode())


def printable(text: str) -> str:
    """Names and texts of others with nothing in them that a terminal obeys."""
    return "".join(char if _is_printable(char) else ascii(char)[1:-1] for char in text)


def show(text: str) -> None:
    """Print lines, each `printable`."""
    for line in text.split("\n"):
        print(printable(line))


def _is_printable(char: str) -> bool:
    is_space = unicodedata.category(char) == "Zs"
    return char.isprintable() or is_space or char in _IN_TEXTS


def add_captions(parser: Arguments, name: str, required: bool = False) -> None:
    """The arguments that name a captioned collection."""
    parser.add_argument(
        f"--{name}", required=required, metavar="FILE", help="captions of the images"
    )
    parser.add_argument(
        f"--{name}-format",
        choices=("flickr8k", "coco", "jsonl", "csv"),
        help="told from the file where it is not given",
    )
    parser.add_argument(
        "--splits", metavar="DIR", help="lists of the images for training, development and test"
    )


def add_format(parser: Arguments, default: str, *others: str) -> None:
    """What captions are written as; `others` than a job writes."""
    parser.add_argument(
        "--format",
        choices=("jsonl", "jsonl.gz", "parquet", *others),
        help=f"of the captions; {default}",
    )


def add_every(parser: argparse._ActionsContainer) -> None:
    """Which frames of a film are images."""
    parser.add_argument(
        "--every",
        type=seconds,
        metavar="SECONDS",
        help="of a film, from one frame to the next that is looked at; 2 by default",
    )


def add_shard_size(parser: Arguments) -> None:
    """How big finished shards are."""
    parser.add_argument(
        "--shard-size", type=positive, default=256, metavar="N", help="images a shard, at most"
    )


def add_job(verb: argparse.ArgumentParser) -> None:
    """The arguments that both jobs, extract and caption, take."""
    add_json(verb)
    parser = verb.add_argument_group("the job")
    parser.add_argument(
        "--batch-size", type=positive, default=32, metavar="N", help="images at once"
    )
    parser.add_argument(
        "--engine",
        choices=("auto", "tensorflow", "openvino"),
        default="auto",
        help="what runs the encoder; by itself OpenVINO, where it is installed",
    )
    add_shard_size(parser)
    parser.add_argument("--force", action="store_true", help="do again what is done")
    parser.add_argument(
        "--dedupe",
        choices=("content",),
        help="read each image once more at first, so that the same bytes are done once",
    )
    parser.add_argument(
        "--max-failures",
        type=MaxFailures.parse,
        metavar="N|P%",
        help="exit with 3 if more of the images that are tried fail",
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="only submit the job, to an engine that runs by itself",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only say how many images, how long and how much, from a sample",
    )
    parser.add_argument(
        "--price-per-hour",
        type=functools.partial(within, least=0, most=math.inf),
        metavar="P",
        help="of a machine, for the dry run's cost",
    )


def run_job(parsed: argparse.Namespace, job: Job, work: Work, made: str, flags: list[str]) -> None:
    """Run a job, and say what it did; or only what it would do.

    Args:
        work: what it does to its images; for a dry run its files are anywhere but in the output.
        made: what the job makes.
    """
    from pipelines import checking, estimating, jobs

    if others := checking.results_of_other_settings(job):
        print(
            f"the {others:,} {made} of the latest run here are by {_MADE_BY[made]}, "
            "so they don't count as done"
        )
    if parsed.dry_run:
        print("listing the images, and trying some of them", file=sys.stderr)
        estimate = estimating.estimate(job, work)
        print(estimate.as_text(made, parsed.price_per_hour))
        tell(parsed, {**dataclasses.asdict(estimate), "hours": estimate.hours})
        return
    try:
        manifest = jobs.run(job, work, asked(parsed), flags, wait=not parsed.no_wait)
    except TooManyFailures:
        manifest = json.loads(storage.read_bytes(job.manifest))
        print_run(manifest, parsed.output, made)
        tell(parsed, manifest)
        raise
    if manifest:
        print_run(manifest, parsed.output, made)
        tell(parsed, manifest)
    else:
        print(f"when the job is done, {job.manifest} says what it did")
        tell(parsed, {"manifest": job.manifest})


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Nothing looks for garbage while libraries are imported.

    TensorFlow and Beam leave none, and Python would spend a quarter of the time with looking.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def make_absolute(parsed: argparse.Namespace, *names: str) -> None:
    """Local paths mean the same to every worker, wherever it was started."""
    for name in names:
        value = getattr(parsed, name)
        setattr(parsed, name, value and storage.absolute(value))


def given(parsed: argparse.Namespace, options: type) -> Any:
    """`options`, a dataclass, with what was given on the command line and its own defaults."""
    names = {field.name for field in dataclasses.fields(options)}
    given = {name: value for name, value in vars(parsed).items() if value is not None}
    return options(**{name: value for name, value in given.items() if name in names})


def asked(parsed: argparse.Namespace) -> dict[str, object]:
    """What was asked for, as a run's manifest has it."""
    hidden = {"run", "takes_beam_flags", "dry_run", "no_wait", "price_per_hour"}
    hidden |= {"json", "standard_output"}
    known = {name: value for name, value in vars(parsed).items() if name not in hidden}
    if known.get("max_failures"):
        known["max_failures"] = str(parsed.max_failures)
    return known


def _pace(manifest: dict[str, Any]) -> str:
    rate = manifest["images_per_second"]
    return f"{manifest['seconds']:.0f} s" + (f", {rate:.1f} images a second" if rate else "")


def print_run(manifest: dict[str, Any], output: str, made: str) -> None:
    """Say what a job did."""
    images = manifest["images"]
    failed = sum(images["failed"].values())
    print(
        f"{counted(images['seen'], 'image')}: {images['done']:,} done now, "
        f"{images['skipped']:,} done before, {failed:,} failed now, "
        f"{images['failed_before']:,} failed before "
        f"({_pace(manifest)})"
    )
    for reason, number in images["failed"].items():
        print(f"  {number} {reason}: see {storage.join(output, 'failures')}")
    print(f"the {made} are in {output}")
