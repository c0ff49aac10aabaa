"""What stands in for the cloud: a `gcloud` that notes what it was called with, and an API that
notes what it was sent, for the real one; and the tools that have an environment of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ENGINES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FAKE = """#!{python}
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
answers = json.loads(os.environ["ANSWERS"])
for words, (status, said) in answers.items():
    if words in " ".join(sys.argv):
        print(said)
        sys.exit(status)
"""


class Commands:
    """Programs on PATH that do nothing but note how they were called.

    Attributes:
        environment: for what is to meet them.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._calls = directory, directory / "calls.jsonl"
        path = f"{directory}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "CALLS": str(self._calls)}

    def add(self, *names: str, answers: dict[str, tuple[int, str]] | None = None) -> None:
        """Add programs; `answers` has status and output for calls that contain some words."""
        for name in names:
            program = self._directory / name
            program.write_text(FAKE.format(python=sys.executable))
            program.chmod(0o755)
        self.environment["ANSWERS"] = json.dumps(answers or {})

    def run(self, *command: object, **changes: Any) -> subprocess.CompletedProcess[str]:
        """Run something that may call them."""
        words = [str(word) for word in command]
        options = {"env": self.environment, "capture_output": True, "text": True, **changes}
        return subprocess.run(words, timeout=300, **options)

    def calls(self) -> list[list[str]]:
        """All calls so far, in order."""
        if not self._calls.exists():
            return []
        return [json.loads(line) for line in self._calls.read_text().splitlines()]


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Programs of a test's own."""
    directory = tmp_path / "bin"
    directory.mkdir()
    return Commands(directory)


class Api:
    """An API on this machine that says yes to everything, except that it knows no scheduler's job.

    Attributes:
        address: its URL.
        requests: method, path and body of each request so far.
        environment: that makes the real gcloud take it for Google's.
    """

    def __init__(self, directory: Path) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.requests))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        token = directory / "token"
        token.write_text("made up")
        self.address = f"http://127.0.0.1:{self._server.server_port}/"
        names = ("AIPLATFORM", "CLOUDSCHEDULER", "TPU")
        endpoints = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": self.address for name in names}
        self.environment = {
            **os.environ,
            **endpoints,
            "CLOUDSDK_CONFIG": str(directory / "gcloud"),
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_PROJECT": "my-project",
        }

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()


def _handler(requests: list[tuple[str, str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            requests.append((self.command, self.path, json.loads(body) if body else None))
            unknown = self.command == "GET" and "/jobs/" in self.path
            self._send({"error": {"code": 404}} if unknown else {"done": True}, unknown)

        def _send(self, answer: dict[str, Any], unknown: bool) -> None:
            content = json.dumps({"name": "a/b", **answer}).encode()
            self.send_response(404 if unknown else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """A local API."""
    api = Api(tmp_path)
    yield api
    api.close()


@pytest.fixture
def google_api(api: Api) -> Api:
    """The same for the real gcloud, where there is one."""
    if not shutil.which("gcloud"):
        pytest.skip("no gcloud on PATH")
    return api


@pytest.fixture(scope="session")
def tools() -> Path:
    """The programs that scripts/airflow.sh installs."""
    programs = ENGINES.absolute() / "airflow" / "bin"
    if not (programs.parent / "installed.txt").exists():
        pytest.skip(f"no Airflow in {programs.parent}; scripts/airflow.sh installs it")
    return programs
