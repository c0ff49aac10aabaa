"""A job on Dataflow: submitting it, following it to its end, or leaving it to itself."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.runners.dataflow.dataflow_runner import (
    DataflowPipelineResult,
    DataflowRuntimeException,
)
from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError
from google.api_core.exceptions import Conflict, GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from captioner import errors
from captioner.errors import UserError

# Where Beam says what becomes of a job, and what of that has its time and importance in front.
_BEAM = "apache_beam.runners.dataflow.dataflow_runner"
_MESSAGE = re.compile(r"\S* ?\S*: JOB_MESSAGE_(\w+): (.*)", re.DOTALL)
_STATE = re.compile(r"Job \S+ is in state JOB_STATE_(\w+)")

# How a traceback of a worker ends, when the error is one of ours.
_OURS = re.compile(r"captioner\.errors\.(\w+): ([^\n]+)")

# As a shell has it for a program that Ctrl-C ended.
_INTERRUPTED = 130


def run(pipeline: beam.Pipeline, options: PipelineOptions, wait: bool) -> bool:
    """Submit a pipeline's job and follow it.

    Args:
        options: the pipeline's.
        wait: whether to wait for the job's end.

    Returns:
        Whether the job came to its end.

    Raises:
        UserError: Dataflow refused the job, or the job failed or was cancelled.
    """
    google = options.view_as(GoogleCloudOptions)
    with _submission_errors(google):
        result = pipeline.run()
    if not (isinstance(result, DataflowPipelineResult) and result.has_job):
        print(f"nothing was submitted; the job's description: {google.template_location}")
        return False
    print(f"submitted {google.job_name}: {_link(result, google)}", file=sys.stderr)
    if wait:
        _wait(result, google)
    else:
        print(_how_to_follow(result, google))
    return wait


def _wait(result: DataflowPipelineResult, google: GoogleCloudOptions) -> None:
    try:
        with _messages():
            result.wait_until_finish()
    except KeyboardInterrupt:
        print(f"\nthe job goes on without you.\n{_how_to_follow(result, google)}", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except DataflowRuntimeException as error:
        raise _ending(result, google, str(error)) from error


@contextlib.contextmanager
def _submission_errors(google: GoogleCloudOptions) -> Iterator[None]:
    """Say in a line why Dataflow didn't take a job."""
    try:
        yield
    except (DataflowJobAlreadyExistsError, Conflict) as error:
        raise UserError(
            f"a job called {google.job_name} is still running in {google.region}: wait for its end "
            "or cancel it; or give another --job-name, which does no harm"
        ) from error
    except GoogleAPICallError as error:
        raise UserError(f"Dataflow refused the job: {error.message}") from error
    except GoogleAuthError as error:
        raise UserError(
            f"Google Cloud refuses the credentials on this machine: {error}; "
            "run `gcloud auth application-default login`"
        ) from error


def _ending(result: DataflowPipelineResult, google: GoogleCloudOptions, text: str) -> UserError:
    """What a job's bad end is to its user, and what to do about it."""
    known = _OURS.search(text)
    kind = getattr(errors, known[1], UserError) if known else UserError
    if result.state == "CANCELLED":
        what = "the job was cancelled"
    elif known:
        what = known[2].removesuffix("\\n")
    else:
        what = f"the job ended as {result.state}: {_last_line(text)}"
    kept = _done(result)
    return kind(
        f"{what}; {kept}what is finished stays, and the same command does the rest. "
        f"See {_link(result, google)}"
    )


def _done(result: DataflowPipelineResult) -> str:
    """How far a job came, by its counters, where the service tells."""
    with contextlib.suppress(GoogleAPICallError):
        found = result.metrics().query(MetricsFilter().with_name("images_done"))["counters"]
        return f"{sum(counter.result for counter in found)} images were done; "
    return ""


def _link(result: DataflowPipelineResult, google: GoogleCloudOptions) -> str:
    return (
        f"https://console.cloud.google.com/dataflow/jobs/{google.region}/{result.job_id()}"
        f"?project={google.project}"
    )


def _how_to_follow(result: DataflowPipelineResult, google: GoogleCloudOptions) -> str:
    where = f"{result.job_id()} --project={google.project} --region={google.region}"
    return (
        f"follow it:  gcloud dataflow jobs describe {where}\n"
        f"cancel it:  gcloud dataflow jobs cancel {where}"
    )


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """Say what becomes of the job, a line each, for the length of a `with` block."""
    logger, handler = logging.getLogger(_BEAM), _Lines()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


class _Lines(logging.Handler):
    """Prints what Beam logs of a job: its states, and the service's messages without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if state := _STATE.fullmatch(text):
            print(f"job: {state[1].lower()}", file=sys.stderr)
        elif message := _MESSAGE.fullmatch(text):
            print(f"job: {message[1].lower()}: {_last_line(message[2])}", file=sys.stderr)


def _last_line(text: str) -> str:
    """A traceback's last line has the error; other messages have one only."""
    lines = [line for line in text.replace("\\n", "\n").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason is given"
