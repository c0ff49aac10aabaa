"""The launches of training: what Kubernetes, Vertex AI and a TPU VM would be asked for and run."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from captioner import cli
from tests.deploy.conftest import DEPLOY, ROOT, Api, Commands

TRAINING = DEPLOY / "training"
VERTEX = ("vertex_gpu.yaml", "vertex_workers.yaml")
KUBERNETES = ("kubernetes_gpu.yaml", "kubernetes_workers.yaml")
TPU = (TRAINING / "tpu.sh", "my-project", "us-west4-a", "gs://bucket/features", "gs://bucket/model")


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((TRAINING / name).read_text()))


def _job(name: str) -> dict[str, Any]:
    (job,) = [document for document in _documents(name) if document["kind"] == "Job"]
    return job["spec"]


def _container(name: str) -> dict[str, Any]:
    (container,) = _job(name)["template"]["spec"]["containers"]
    return container


def _vertex_command(pool: dict[str, Any]) -> list[str]:
    return [*pool["containerSpec"]["command"], *pool["containerSpec"]["args"]]


def _as_worker(commands: Commands, index: int) -> tuple[dict[str, Any], list[str]]:
    """TF_CONFIG and the command's words, as a pod of the indexed Job makes them."""
    container = _container("kubernetes_workers.yaml")
    commands.add("captioner")
    given = {value["name"]: value["value"] for value in container["env"]}
    environment = {**commands.environment, **given, "JOB_COMPLETION_INDEX": str(index)}
    script = container["args"][0].replace("exec captioner", 'echo "$TF_CONFIG"\nexec captioner')
    run = commands.run(*container["command"], script, env=environment)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout), commands.calls()[-1]


def test_each_pod_knows_all_workers_and_which_it_is(commands: Commands) -> None:
    service, _ = _documents("kubernetes_workers.yaml")
    job, name = _job("kubernetes_workers.yaml"), service["metadata"]["name"]
    count = job["completions"]
    assert job["completionMode"] == "Indexed" and job["parallelism"] == count
    assert job["template"]["spec"]["subdomain"] == name
    assert (
        service["spec"]["selector"] == {"job-name": name} and service["spec"]["clusterIP"] == "None"
    )
    workers = [f"{name}-{number}.{name}:2222" for number in range(count)]
    for index in range(count):
        found, _ = _as_worker(commands, index)
        assert found == {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}


def test_the_command_takes_every_launchs_arguments(
    commands: Commands,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    pools = [pool for name in VERTEX for pool in _documents(name)[0]["workerPoolSpecs"]]
    single = _container("kubernetes_gpu.yaml")
    launches = [*map(_vertex_command, pools), [*single["command"], *single["args"]]]
    launches.append(_as_worker(commands, 0)[1])
    for program, *words in launches:
        assert program == "captioner"
        here = [word.replace("gs://my-bucket", str(tmp_path)) for word in words]
        capsys.readouterr()
        assert cli.main(here) == 2
        missing = "TF_CONFIG" if "--strategy=multiworker" in here else "no features here"
        assert missing in capsys.readouterr().err


@pytest.mark.parametrize("name", VERTEX)
def test_gcloud_sends_vertex_what_is_meant(google_api: Api, name: str) -> None:
    command = ["gcloud", "ai", "custom-jobs", "create", "--region=us-central1"]
    command += ["--display-name=captioner-train", f"--config={TRAINING / name}"]
    subprocess.run(command, env=google_api.environment, capture_output=True, check=True)
    ((method, path, sent),) = google_api.requests
    assert (method, path.partition("?")[0]) == (
        "POST",
        "/v1/projects/my-project/locations/us-central1/customJobs",
    )
    meant = _documents(name)[0]["workerPoolSpecs"]
    pools = [
        {**pool, "replicaCount": int(pool["replicaCount"])}
        for pool in sent["jobSpec"]["workerPoolSpecs"]
    ]
    assert pools == meant


def test_vertex_has_one_chief_and_workers_like_it() -> None:
    chief, workers = _documents("vertex_workers.yaml")[0]["workerPoolSpecs"]
    assert chief.pop("replicaCount") == 1 and workers.pop("replicaCount") > 1
    assert chief == workers


def test_a_tpu_is_asked_for_used_and_given_back(commands: Commands) -> None:
    commands.add("gcloud", answers={"describe": (0, "ACTIVE")})
    run = commands.run(*TPU, "--epochs", "3")
    assert run.returncode == 0, run.stderr
    verbs = [call[3:5] for call in commands.calls()]
    assert verbs == [
        ["queued-resources", "create"],
        ["queued-resources", "describe"],
        ["tpu-vm", "scp"],
        ["tpu-vm", "ssh"],
        ["queued-resources", "delete"],
    ]
    names = {call[5] for call in commands.calls() if call[4] != "scp"}
    assert len(names) == 1
    assert {"--force", "--quiet"} <= set(commands.calls()[-1])  # else it asks, and leaves the VM


@pytest.mark.parametrize("fails", ["queued-resources create", "describe", "scp", "ssh"])
def test_a_tpu_is_given_back_whatever_fails(commands: Commands, fails: str) -> None:
    answers = {fails: (1, "")} | ({} if fails == "describe" else {"describe": (0, "ACTIVE")})
    commands.add("gcloud", answers=answers)
    assert commands.run(*TPU).returncode != 0
    assert commands.calls()[-1][3:5] == ["queued-resources", "delete"]


def test_a_tpu_that_is_not_to_be_had_is_said(commands: Commands) -> None:
    commands.add("gcloud", answers={"describe": (0, "FAILED")})
    run = commands.run(*TPU)
    assert run.returncode == 1 and "error: the TPU is FAILED" in run.stderr


COPYING = """#!/bin/sh
echo "$@" | grep -q " scp " && cp -r "$6" "$COPY"
echo ACTIVE
"""


def test_the_tpu_trains_with_our_versions_and_the_tpus_tensorflow(
    commands: Commands, tmp_path: Path
) -> None:
    commands.add("pip", "captioner", "gcloud")
    gcloud = tmp_path / "bin/gcloud"
    gcloud.write_text(COPYING)
    package = tmp_path / "package"
    environment = {**commands.environment, "COPY": str(package)}
    assert commands.run(*TPU, "--epochs", "3 4", env=environment).returncode == 0
    ours = (ROOT / "requirements.txt").read_text()
    meant = ours.replace("\ntensorflow==", "\ntensorflow-tpu==").replace(
        "\ntensorflow-io==0.37.1", ""
    )
    assert (package / "requirements.txt").read_text() == meant
    assert (package / "captioner/__init__.py").exists() and (package / "setup.py").exists()
    run = commands.run("bash", package / "train.sh")
    assert run.returncode == 0, run.stderr
    *installs, train = commands.calls()
    assert [call[0] for call in installs] == ["pip", "pip"]
    assert shlex.join(train) == (
        "captioner train --features=gs://bucket/features --output=gs://bucket/model "
        "--strategy=tpu --epochs '3 4'"
    )


def _image_step() -> str:
    text = (TRAINING / "Dockerfile").read_text().replace("\\\n", "")
    (step,) = [line for line in text.splitlines() if line.startswith("RUN ")]
    return step.removeprefix("RUN ")


def test_the_image_has_again_what_several_gpus_need(commands: Commands) -> None:
    commands.add("pip", answers={"show": (0, "Name: a\nVersion: 1.2.3\nSummary: b")})
    ended = commands.run("sh", "-c", _image_step())
    assert ended.returncode == 0, ended.stderr
    installed = [call[-1] for call in commands.calls() if call[1] == "install"]
    assert installed == ["nvidia-nccl-cu12==1.2.3", "nvidia-cudnn-cu12==1.2.3"]
    assert all("--force-reinstall" in call for call in commands.calls() if call[1] == "install")


def test_a_failed_installation_fails_the_image(commands: Commands) -> None:
    commands.add("pip", answers={"show": (0, "Version: 1.2.3"), "nccl-cu12==": (1, "")})
    assert commands.run("sh", "-c", _image_step()).returncode != 0


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.parametrize("name", KUBERNETES)
def test_kubernetes_takes_the_manifests(tools: Path, name: str) -> None:
    command = [tools / "kubernetes-validate", "--strict", TRAINING / name]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


PARSE = """
import json, sys
from google.cloud.aiplatform_v1.types import CustomJobSpec
spec = CustomJobSpec.from_json(sys.stdin.read())
print(json.dumps([pool.machine_spec.accelerator_type for pool in spec.worker_pool_specs]))
"""


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.parametrize("name", VERTEX)
def test_vertex_takes_the_specifications(tools: Path, name: str) -> None:
    spec = json.dumps(_documents(name)[0])
    command = [tools / "python", "-c", PARSE]
    run = subprocess.run(command, input=spec, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert all(json.loads(run.stdout))


@pytest.mark.slow
@pytest.mark.engines
def test_the_scripts_have_no_known_mistakes(tools: Path) -> None:
    scripts = [
        DEPLOY / "schedules/cloud_scheduler.sh",
        TRAINING / "tpu.sh",
        ROOT / "scripts/airflow.sh",
    ]
    run = subprocess.run([tools / "shellcheck", *scripts], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
