"""The schedules: what cron, systemd and Cloud Scheduler would call, called."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.cloud.dataflow_v1beta3.types import LaunchFlexTemplateRequest

from captioner import captions, training
from captioner.training import TrainingOptions
from tests import toy_features
from tests.deploy.conftest import DEPLOY, Api, Commands

SCHEDULES = DEPLOY / "schedules"
LAUNCH = json.loads((SCHEDULES / "launch.json").read_text())
PROGRAM = str(Path(sys.executable).with_name("captioner"))
FIELD = r"(\*|\d+)(/\d+)?"
ASSIGNMENT = re.compile(r"(\w+)=(.*)")
PLACE = ("my-project", "us-central1", "launcher@my-project.iam.gserviceaccount.com")


def _settings(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines()
    return dict(found.groups() for line in lines if (found := ASSIGNMENT.fullmatch(line)))


def _cron_line() -> tuple[list[str], str, str]:
    """The times, the user and the command, read as cron reads them."""
    lines = (SCHEDULES / "captioner.cron").read_text().splitlines()
    rest = [line for line in lines if line and line[0] != "#" and not ASSIGNMENT.fullmatch(line)]
    assert len(rest) == 1
    *times, user, command = rest[0].split(maxsplit=6)
    assert not re.search(r"(?<!\\)%", command), "cron takes a bare % for the end of the line"
    return times, user, command.replace(r"\%", "%")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained for a moment, for pictures of 32 pixels."""
    root = tmp_path_factory.mktemp("model")
    toy_features.write(str(root / "features"), {"train": 24})
    options = TrainingOptions(epochs=1, settings={"units": 8}, min_count=1)
    training.train(str(root / "features"), str(root / "model"), options)
    return root / "model"


@pytest.fixture
def night(model: Path, tmp_path: Path, picture: Callable[..., Path]) -> dict[str, str]:
    """What the crontab sets, for a few pictures here."""
    for number in range(3):
        picture(tmp_path / f"photos/{number}.png")
    here = {name: str(tmp_path / name.lower()) for name in ("OUTPUT", "LOCK", "LOG")}
    known = {"INPUT": str(tmp_path / "photos"), "MODEL": str(model), **here}
    settings = _settings(SCHEDULES / "captioner.cron")
    assert known.keys() < settings.keys()
    path = f"{Path(PROGRAM).parent}:{settings['PATH']}"
    return {**settings, **known, "PATH": path, "HOME": os.environ.get("HOME", "/")}


def _as_cron(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    _, _, command = _cron_line()
    words = [settings["SHELL"], "-c", command]
    return subprocess.run(words, env=settings, capture_output=True, text=True, timeout=300)


def test_the_crontab_captions_what_is_new(
    night: dict[str, str], tmp_path: Path, picture: Callable[..., Path]
) -> None:
    times, user, _ = _cron_line()
    assert all(re.fullmatch(FIELD, field) for field in times) and user == "captioner"
    first = _as_cron(night)
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")  # cron would mail it
    picture(tmp_path / "photos/new.png")
    assert _as_cron(night).returncode == 0
    lines = [line.split(" done now") for line in Path(night["LOG"]).read_text().splitlines()]
    assert [line[0] for line in lines if line[1:]] == ["3 images: 3", "4 images: 1"]
    ids = {record.id for record in captions.read(night["OUTPUT"])}
    assert ids == {"0.png", "1.png", "2.png", "new.png"}


def test_the_crontab_leaves_while_last_nights_run_is_at_work(night: dict[str, str]) -> None:
    with open(night["LOCK"], "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = _as_cron(night)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert not Path(night["OUTPUT"]).exists()


def test_what_goes_wrong_is_mailed_and_has_its_status(night: dict[str, str]) -> None:
    (Path(night["INPUT"]) / "0.png").write_bytes(b"no image")
    run = _as_cron(night)
    assert run.returncode == 3
    assert "1 of 3 images failed (1 not_an_image), more than the 5% allowed" in run.stderr


def _unit(name: str) -> dict[str, str]:
    return _settings(SCHEDULES / name)


def test_systemd_runs_what_cron_runs() -> None:
    unit, settings = _unit("captioner.service"), _settings(SCHEDULES / "nightly.env")
    command = re.sub(r"\$\{(\w+)\}", lambda found: settings[found[1]], unit["ExecStart"])
    cron = _settings(SCHEDULES / "captioner.cron")
    words = re.sub(r"\$(\w+)", lambda found: cron[found[1]], _cron_line()[2])
    ours = shlex.split(words.partition(" >>")[0])
    assert shlex.split(command)[1:] == ours[ours.index("captioner") + 1 :]


def test_systemd_tries_neither_mistakes_nor_too_many_failures_again() -> None:
    unit = _unit("captioner.service")
    assert (unit["Type"], unit["Restart"]) == ("oneshot", "on-failure")
    assert unit["RestartPreventExitStatus"].split() == ["2", "3"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    names = ("captioner.service", "captioner.timer", "captioner-alert@.service")
    for name in names:
        text = (SCHEDULES / name).read_text()
        program = _unit("captioner.service")["ExecStart"].split()[0]
        (tmp_path / name).write_text(text.replace(program, PROGRAM))
    command = ["systemd-analyze", "verify", *(tmp_path / name for name in names)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_launch_is_one_of_dataflow() -> None:
    launch = LaunchFlexTemplateRequest.from_json(json.dumps(LAUNCH)).launch_parameter
    assert launch.container_spec_gcs_path.startswith("gs://")
    template = json.loads((DEPLOY / "dataflow/caption.json").read_text())
    known = {parameter["name"]: parameter for parameter in template["parameters"]}
    needed = {name for name, parameter in known.items() if not parameter.get("isOptional")}
    assert needed <= set(launch.parameters)
    for name, value in launch.parameters.items():
        assert all(re.fullmatch(regex, value) for regex in known[name]["regexes"])
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", launch.job_name)


@pytest.mark.parametrize("known", [False, True])
def test_the_scheduler_is_created_or_updated(commands: Commands, known: bool) -> None:
    commands.add("gcloud", answers={"describe": (0 if known else 1, "")})
    run = commands.run(SCHEDULES / "cloud_scheduler.sh", *PLACE)
    assert run.returncode == 0, run.stderr
    asked, made = commands.calls()
    assert asked[1:4] == ["scheduler", "jobs", "describe"]
    verb, headers = ("update", "--update-headers") if known else ("create", "--headers")
    assert made[1:6] == ["scheduler", "jobs", verb, "http", "captioner-nightly"]
    assert f"{headers}=Content-Type=application/json" in made


def test_the_scheduler_needs_its_arguments(commands: Commands) -> None:
    commands.add("gcloud")
    run = commands.run(SCHEDULES / "cloud_scheduler.sh", "my-project")
    assert run.returncode == 2 and "give PROJECT REGION SERVICE_ACCOUNT" in run.stderr
    assert not commands.calls()


def test_gcloud_sends_the_scheduler_what_is_meant(google_api: Api) -> None:
    command = [SCHEDULES / "cloud_scheduler.sh", *PLACE]
    subprocess.run(command, env=google_api.environment, capture_output=True, check=True)
    _, (method, path, job) = google_api.requests
    assert (method, path.partition("?")[0]) == (
        "POST",
        "/v1/projects/my-project/locations/us-central1/jobs",
    )
    target = job["httpTarget"]
    assert json.loads(base64.b64decode(target["body"])) == LAUNCH
    assert target["headers"] == {"Content-Type": "application/json"}
    launch = "projects/my-project/locations/us-central1/flexTemplates:launch"
    assert target["uri"] == f"https://dataflow.googleapis.com/v1b3/{launch}"
    assert target["oauthToken"]["serviceAccountEmail"] == PLACE[2]
    assert job["schedule"] == " ".join(_cron_line()[0])
