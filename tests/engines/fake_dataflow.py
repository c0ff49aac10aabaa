"""A small Dataflow: it takes jobs over REST as the service does, and runs them in this process.

What it runs is what was staged and nothing else: once a job is submitted, its client may go.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from captioner import storage

_JOBS = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/jobs")
_JOB = re.compile(rf"{_JOBS.pattern}/([^/]+)(?:/(messages|metrics))?")
_OVER = {"JOB_STATE_DONE", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}


class FakeDataflow:
    """The service.

    Attributes:
        endpoint: where it listens.
        jobs: what it was given, by id, with the state of each.
        messages: of each job.
        counters: of each job, as a user's metrics.
        is_held: whether jobs stay in the state of running, instead of being run.
        is_locked: whether all is refused.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, list[dict[str, str]]] = {}
        self.counters: dict[str, dict[str, int]] = {}
        self.is_held = False
        self.is_locked = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.endpoint = f"http://localhost:{self._server.server_port}"

    @contextlib.contextmanager
    def serving(self) -> Iterator[FakeDataflow]:
        """Serve for the length of a `with` block."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def submit(self, job: dict[str, Any], project: str, location: str) -> dict[str, Any]:
        """Take a job; one with the name of a running job isn't taken, but that one told."""
        for other in self.jobs.values():
            if other["name"] == job["name"] and other["currentState"] not in _OVER:
                return other
        id = f"job-{len(self.jobs) + 1}"
        job |= {"id": id, "projectId": project, "location": location}
        job["currentState"] = "JOB_STATE_RUNNING"
        self.jobs[id], self.messages[id], self.counters[id] = job, [], {}
        self._say(id, "JOB_MESSAGE_BASIC", "Worker configuration: n2-standard-8 in europe-west4-a.")
        if not self.is_held:
            self.begin(id)
        return job

    def begin(self, id: str) -> None:
        """Run a job, which nobody waits for."""
        threading.Thread(target=self._run, args=(self.jobs[id],), daemon=True).start()

    def wait(self, id: str) -> None:
        """Wait for the end of a job."""
        while self.jobs[id]["currentState"] not in _OVER:
            time.sleep(0.1)

    def fail(self, id: str, text: str) -> None:
        """End a job that is held, with a message."""
        self._say(id, "JOB_MESSAGE_ERROR", text)
        self.jobs[id]["currentState"] = "JOB_STATE_FAILED"

    def cancel(self, id: str) -> None:
        """What anyone may ask for at any time."""
        self.jobs[id]["currentState"] = "JOB_STATE_CANCELLED"

    def _run(self, job: dict[str, Any]) -> None:
        try:
            result = FnApiRunner().run_via_runner_api(
                in_this_process(staged_pipeline(job)), PipelineOptions([])
            )
            for counter in result.metrics().query()["counters"]:
                name = counter.key.metric.name
                known = self.counters[job["id"]]
                known[name] = known.get(name, 0) + counter.result
            job["currentState"] = "JOB_STATE_DONE"
        except Exception:
            self.fail(job["id"], traceback.format_exc())

    def _say(self, id: str, importance: str, text: str) -> None:
        number = len(self.messages[id])
        self.messages[id].append(
            {
                "id": str(number),
                "time": f"2026-01-01T00:00:{number:02d}Z",
                "messageText": text,
                "messageImportance": importance,
            }
        )


def staged_pipeline(job: dict[str, Any]) -> beam_runner_api_pb2.Pipeline:
    """The pipeline that a job's description points to."""
    options = job["environment"]["sdkPipelineOptions"]["options"]
    return beam_runner_api_pb2.Pipeline.FromString(storage.read_bytes(options["pipelineUrl"]))


def in_this_process(pipeline: beam_runner_api_pb2.Pipeline) -> beam_runner_api_pb2.Pipeline:
    """The pipeline with workers that need no container."""
    for environment in pipeline.components.environments.values():
        environment.urn = python_urns.EMBEDDED_PYTHON
        environment.payload = b""
        del environment.dependencies[:]
    return pipeline


def _handler(service: FakeDataflow) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """The service's REST interface."""

        def do_POST(self) -> None:
            if found := self._match(_JOBS):
                self._answer(service.submit(json.loads(self._body()), found[1], found[2]))

        def do_PUT(self) -> None:
            if found := self._match(_JOB):
                assert json.loads(self._body())["requestedState"] == "JOB_STATE_CANCELLED"
                service.cancel(found[3])
                self._answer(service.jobs[found[3]])

        def do_GET(self) -> None:
            found = self._match(_JOB)
            if found and found[3] in service.jobs:
                self._answer(_VIEWS[found[4]](service, found[3]))

        def _match(self, pattern: re.Pattern) -> re.Match | None:
            found = pattern.fullmatch(self.path.split("?")[0])
            if service.is_locked:
                self._answer({"error": {"message": "you lack dataflow.jobs.get"}}, 403)
                return None
            if not found:
                self.send_error(404)
            return found

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def _answer(self, value: dict[str, Any], status: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _metrics(service: FakeDataflow, id: str) -> dict[str, Any]:
    context = {"namespace": "captioner", "step": "s1"}
    return {
        "metrics": [
            {
                "name": {"origin": "user", "name": name, "context": context | tentative},
                "scalar": value,
            }
            for name, value in service.counters[id].items()
            for tentative in ({"tentative": "true"}, {})
        ]
    }


_VIEWS: dict[str | None, Callable[[FakeDataflow, str], dict[str, Any]]] = {
    None: lambda service, id: service.jobs[id],
    "messages": lambda service, id: {"jobMessages": service.messages[id]},
    "metrics": _metrics,
}
