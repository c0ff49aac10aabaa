"""The command itself: finds the verb, and says a mistake in one line."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import errno
import gc
import logging
import os
import re
import select
import signal
import sys
import tempfile
import warnings
from collections.abc import Sequence
from typing import NoReturn

from captioner import __version__
from captioner.cli import (
    app,
    caption,
    compact,
    completion,
    evaluate,
    export,
    extract,
    neighbours,
    report,
    scenes,
    score,
    similar,
    subtitles,
    train,
    tune,
    verify,
    write_back,
)
from captioner.cli.arguments import HelpFormatter, Parser, importing, printable, verbs_of
from captioner.errors import UserError, guess, in_text

_DESCRIPTION = "Caption images by the folder or bucket, with a model trained on your own captions."
_NOTES = """example:
  captioner extract  --input photos/ --captions captions.csv --output features/
  captioner train    --features features/ --output model/
  captioner caption  --input more-photos/ --model model/ --output captions/
  captioner report   captions/

`captioner VERB --help` says more of each, and has an example. A path may be gs:// or s3:// too.

exit status:
  0  done
  2  a mistake that you can mend: it is said in one line
  3  the job came to its end, with more failures than --max-failures allows
  4  verify found something, or write-back could not write every caption
  130  stopped by Ctrl-C; the same command goes on from what is done
  141  nobody reads the output any more, as with `| head`; what was left is not done
any other status is a fault of ours, with a traceback
"""
# What a user can mend: a full disk, a path that can't be written or is of the wrong kind, a bucket
# that isn't there, a disk, mount or store that fails however often it is tried.
_MENDABLE = {
    errno.EIO,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.ENXIO,
    errno.ETIMEDOUT,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
}

# What Beam adds to what its workers raise.
_BEAM_NOTE = re.compile(r" \[while running '.*'\]$")

# What the system refused, in the traceback of another machine.
_REFUSED = re.compile(
    r"^\w*Error: \[Errno (?P<number>\d+)\] (?P<message>.+?)(?:: '(?P<file>.*?)')?(?: \[while .*)?$",
    re.MULTILINE,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0, or that of a `UserError`, which is said in one line.
    """
    _quieten()
    # Without it Python looks for garbage among all that was loaded, for two seconds at its end.
    atexit.register(gc.freeze)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        made = parser(arguments)
        parsed, others = made.parse_known_args(arguments)
        if others:
            _check_others(parsed, others, verbs_of(made)[parsed.verb])
        _run(parsed, others)
    except KeyboardInterrupt:
        _stop()
    except BrokenPipeError:
        if not _is_read_no_more():
            raise
        return 128 + signal.SIGPIPE  # whatever was still to be done or found was not
    except Exception as error:
        if _is_interrupt(error):
            _stop()
        mistake = _mendable(error)
        if mistake is None:
            raise
        print(printable(f"error: {' '.join(str(mistake).split())}"), file=sys.stderr)
        return mistake.status
    return 0


def _check_others(
    parsed: argparse.Namespace, others: list[str], verb: argparse.ArgumentParser
) -> None:
    """See that what the verb doesn't know is Beam's."""
    ours = verb._option_string_actions
    if parsed.takes_beam_flags:
        with importing():
            from pipelines import options

        options.parse(others, ours)
    else:
        hint = guess(others[0], ours)
        raise UserError(f"unknown argument: {others[0]}{hint} (see `{verb.prog} --help`)")


def _run(parsed: argparse.Namespace, flags: list[str]) -> None:
    """Run a verb, which has standard output for its JSON alone if that goes there."""
    parsed.standard_output = sys.stdout
    is_free = getattr(parsed, "json", None) != "-"
    with contextlib.nullcontext() if is_free else contextlib.redirect_stdout(sys.stderr):
        parsed.run(parsed, flags)
    sys.stdout.flush()


def _is_read_no_more() -> bool:
    """Whether who reads the output has enough, such as `head`; what is left then goes nowhere."""
    output = select.poll()
    output.register(sys.__stdout__, 0)  # that nobody reads a pipe is told in any case
    if output.poll(0):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
        return True
    return False


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether the user stopped the command; engines wrap what reaches their workers."""
    seen: set[int] = set()
    while error and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _stop() -> NoReturn:
    """End at once: an engine's threads and a network's would hold up or abort an orderly end."""
    print("stopped; the same command goes on from what is done", file=sys.stderr, flush=True)
    os._exit(128 + signal.SIGINT)


def _mendable(error: BaseException | None) -> UserError | None:
    """What a user can mend, if it is that; engines wrap what their workers raise."""
    seen: set[int] = set()  # an error may be its own cause's cause
    while error and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, UserError):
            return type(error)(_BEAM_NOTE.sub("", str(error)))
        if isinstance(error, OSError) and error.errno in _MENDABLE:
            return UserError(f"{error.filename or 'output'}: {error.strerror}")
        if mistake := _in_text(str(error)):
            return mistake
        if os.strerror(errno.ENOSPC) in str(error):  # TensorFlow says it in words only
            return UserError(f"{os.strerror(errno.ENOSPC)}, perhaps in {tempfile.gettempdir()}")
        error = error.__cause__ or error.__context__
    return None


def _in_text(text: str) -> UserError | None:
    """What a user can mend, told from the traceback in an engine's message."""
    for refused in _REFUSED.finditer(text):
        if int(refused["number"]) in _MENDABLE:
            return UserError(f"{refused['file'] or 'output'}: {refused['message']}")
    return in_text(text)


def _quieten() -> None:
    """Keep libraries' remarks, which no user of ours can act on, off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger().setLevel(logging.ERROR)
    # It logs what it raises.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="You are using a Python version")


def parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """What parses these arguments: with an input, `caption` is a job, which takes Beam's flags."""
    parser = Parser(
        prog="captioner",
        description=_DESCRIPTION,
        epilog=_NOTES,
        allow_abbrev=False,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"captioner {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    scenes.add(verbs)
    extract.add(verbs)
    train.add(verbs)
    tune.add(verbs)
    caption.add(verbs, any(word.split("=")[0] == "--input" for word in arguments))
    evaluate.add(verbs)
    score.add(verbs)
    report.add(verbs)
    subtitles.add(verbs)
    similar.add(verbs)
    neighbours.add(verbs)
    app.add(verbs)
    write_back.add(verbs)
    export.add(verbs)
    verify.add(verbs)
    compact.add(verbs)
    completion.add(verbs)
    return parser
