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
    DataflowRunner,
)
from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError
from apache_beam.runners.runner import PipelineState
from google.api_core.exceptions import Conflict, GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import RequestException

from captioner import errors
from captioner.errors import UserError
from captioner.wording import counted

# Where Beam says what becomes of a job, and what of that has its time and importance in front.
_BEAM = "apache_beam.runners.dataflow.dataflow_runner"
_MESSAGE = re.compile(r"\S* ?\S*: JOB_MESSAGE_(\w+): (.*)", re.DOTALL)
_STATE = re.compile(r"Job \S+ is in state JOB_STATE_(\w+)")

# The line of a worker's traceback that has the error; Dataflow adds lines of its own below.
_ERROR = re.compile(r"^([A-Za-z_][\w.]*: .+?)(?: \[while running .*)?$", re.MULTILINE)

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
    with _left_running(result, google):
        print(f"submitted {google.job_name}: {_link(result, google)}", file=sys.stderr)
        if wait:
            _wait(pipeline.runner, result, google)
        else:
            print(_how_to_follow(result, google))
    return wait


@contextlib.contextmanager
def _left_running(result: DataflowPipelineResult, google: GoogleCloudOptions) -> Iterator[None]:
    """Say on Ctrl-C that the job doesn't end with it."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nthe job goes on without you.\n{_how_to_follow(result, google)}", file=sys.stderr)
        sys.exit(_INTERRUPTED)


def _wait(
    runner: DataflowRunner, result: DataflowPipelineResult, google: GoogleCloudOptions
) -> None:
    try:
        with _messages():
            # What wait_until_finish() does, in this thread: its own dies with a traceback.
            DataflowRunner.poll_for_job_completion(runner, result, None)
    except (GoogleAPICallError, GoogleAuthError, RequestException) as error:
        raise UserError(
            f"Dataflow can't be asked about the job any more ({_one_line(error)}); the job goes "
            f"on, see {_link(result, google)}"
        ) from error
    if result.state != PipelineState.DONE:
        raise _ending(result, google, runner.last_error_msg or "")


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
        raise UserError(f"Dataflow refused the job: {_one_line(error)}") from error
    except GoogleAuthError as error:
        raise UserError(
            f"Google Cloud refuses the credentials on this machine: {_one_line(error)}; "
            "run `gcloud auth application-default login`"
        ) from error


def _ending(result: DataflowPipelineResult, google: GoogleCloudOptions, text: str) -> UserError:
    """What a job's bad end is to its user, and what to do about it."""
    ours = errors.in_text(text) or UserError(f"the job ended as {result.state}: {_error(text)}")
    what = "the job was cancelled" if result.state == PipelineState.CANCELLED else ours
    return type(ours)(
        f"{what}; {_done(result)}what is finished stays, and the same command does the rest. "
        f"See {_link(result, google)}"
    )


def _done(result: DataflowPipelineResult) -> str:
    """How far a job came, by its counters, where the service tells."""
    with contextlib.suppress(GoogleAPICallError):
        found = result.metrics().query(MetricsFilter().with_name("images_done"))["counters"]
        if found:
            return f"{counted(sum(counter.result for counter in found), 'image')} done; "
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
            print(f"job: {message[1].lower()}: {_error(message[2])}", file=sys.stderr)


def _error(text: str) -> str:
    """What a message of the service comes to: the error of a traceback, else its last line."""
    if found := list(_ERROR.finditer(text)):
        return found[-1][1]
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "no reason is given"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
