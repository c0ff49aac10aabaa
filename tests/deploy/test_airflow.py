"""The DAGs, loaded and run by Airflow itself, in the environment that scripts/airflow.sh makes."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import DEPLOY, Api, Commands

pytestmark = [pytest.mark.slow, pytest.mark.engines]
RUN_DAG = Path(__file__).with_name("run_dag.py")


@pytest.fixture(scope="module")
def airflow(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an Airflow with a database of its own."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DEPLOY / "schedules"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHON": str(tools / "python"),
    }
    migrate = [tools / "airflow", "db", "migrate"]
    subprocess.run(migrate, env=environment, capture_output=True, check=True)
    return environment


def _ask(airflow: dict[str, str], *words: str) -> dict[str, Any]:
    command = [airflow["PYTHON"], str(RUN_DAG), *words]
    run = subprocess.run(command, env=airflow, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_the_dags_load(airflow: dict[str, str]) -> None:
    found = _ask(airflow)
    assert found["errors"] == {}
    assert found["overlap"] == {"captioner_nightly": 1, "captioner_dataflow": 1}
    assert found["tasks"]["captioner_nightly"] == {
        "retrain_today": ["extract"],
        "extract": ["train"],
        "train": ["caption"],
        "caption": ["check_failures", "verify"],
        "verify": ["check_failures"],
        "check_failures": [],
    }
    assert found["tasks"]["captioner_dataflow"] == {"caption": ["verify"], "verify": []}
    launch = json.loads((DEPLOY / "schedules/launch.json").read_text())
    assert found["bodies"] == [launch]  # with its name as it is, so that two can't run at once


def _states(
    airflow: dict[str, str], commands: Commands, answers: dict[str, tuple[int, str]], **params: str
) -> tuple[dict[str, str], list[str]]:
    """The tasks' states, and the verbs that were called, of a run where the command answers so."""
    commands.add("captioner", answers=answers)
    environment = {**airflow, **commands.environment, "CAPTIONER": "captioner"}
    states = _ask(environment, "captioner_nightly", json.dumps(params))
    return states, [call[1] for call in commands.calls()]


def test_a_night_like_any_other(airflow: dict[str, str], commands: Commands) -> None:
    states, verbs = _states(airflow, commands, {}, output="out; rm -r x", max_failures="7%")
    assert verbs == ["caption", "verify"]
    assert commands.calls()[0][-4:] == ["--output", "out; rm -r x", "--max-failures", "7%"]
    skipped = {name for name, state in states.items() if state == "skipped"}
    assert skipped == {"extract", "train"}
    assert {states[name] for name in states.keys() - skipped} == {"success"}


def test_the_night_of_retraining(airflow: dict[str, str], commands: Commands) -> None:
    today = f"{datetime.datetime.now(datetime.UTC):%A}"
    states, verbs = _states(airflow, commands, {}, retrain_on=today)
    assert verbs == ["extract", "train", "caption", "verify"]
    assert set(states.values()) == {"success"}


def test_too_many_failures_are_said_when_all_is_done(
    airflow: dict[str, str], commands: Commands
) -> None:
    states, verbs = _states(airflow, commands, {"captioner caption": (3, "")})
    assert verbs == ["caption", "verify"]
    assert (states["caption"], states["verify"]) == ("success", "success")
    assert states["check_failures"] == "failed"


@pytest.mark.parametrize("verb, status", [("caption", 2), ("verify", 4)])
def test_what_trying_again_does_not_mend_fails_at_once(
    airflow: dict[str, str], commands: Commands, api: Api, verb: str, status: int
) -> None:
    alerted = {**airflow, "CAPTIONER_ALERT_URL": f"{api.address}alert"}
    states, verbs = _states(alerted, commands, {f"captioner {verb}": (status, "")})
    assert (states[verb], verbs.count(verb)) == ("failed", 1)
    assert states["check_failures"] == "upstream_failed"
    ((method, path, said),) = api.requests
    assert (method, path) == ("POST", "/alert")
    assert said["text"].startswith(f"captioner_nightly, {verb}, ")
    assert f"exit status {status}" in said["text"]


def test_all_else_is_tried_again(airflow: dict[str, str], commands: Commands) -> None:
    states, verbs = _states(airflow, commands, {"captioner caption": (137, "")})
    assert states["caption"] == "failed"
    assert verbs == ["caption"] * 4
