"""The flex templates: what they ask, and the job that is launched by one.

The launcher is called as the program in its image calls it; Cloud Storage is a local one, and the
service a small fake.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3.types import ContainerSpec, LaunchFlexTemplateParameter

from captioner import cli, storage
from pipelines.dataflow.settings import MACHINES
from tests.engines.fake_dataflow import FakeDataflow

pytestmark = pytest.mark.engines

DEPLOY = Path(__file__).parents[2] / "deploy"
IMAGE = "europe-west4-docker.pkg.dev/my-project/captioner/captioner:1"
VERBS = ("extract", "caption")

# Flags that a template has no use for.
LEFT_OUT = {
    "help",
    "dry-run",  # starts no job
    "price-per-hour",  # for the dry run
    "no-wait",  # the launcher always gives it
    "json",  # for scripts, of which a launch is none
    "descriptions",  # a file for people, which the launcher would write
    "scenes",  # of one film alone, which is no job
}
OF_ONE_FILM = {"vtt", "srt"}  # formats that no job writes


def _spec(verb: str, *more: str) -> dict[str, Any]:
    command = [sys.executable, DEPLOY / "dataflow/build_spec.py", verb, IMAGE, *more]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def _parameters(verb: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in _spec(verb)["metadata"]["parameters"]}


def _help(verb: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        cli.main([verb, "--input=x", "--help"])
    return said.getvalue()


@pytest.mark.parametrize("verb", VERBS)
def test_a_template_has_the_shape_that_dataflow_documents(verb: str) -> None:
    spec = ContainerSpec.from_json(json.dumps(_spec(verb)), ignore_unknown_fields=False)
    assert spec.image == IMAGE
    assert spec.sdk_info.language.name == "PYTHON"
    assert spec.metadata.name and spec.metadata.description
    for parameter in spec.metadata.parameters:
        assert parameter.label and parameter.help_text and parameter.regexes, parameter.name
        options = [option.value for option in parameter.enum_options]
        assert bool(options) == (parameter.param_type.name == "ENUM")
        assert all(re.fullmatch(parameter.regexes[0], value) for value in options)
        assert not re.fullmatch(parameter.regexes[0], " ")


@pytest.mark.parametrize("verb", VERBS)
def test_a_template_asks_for_the_flags_of_the_command(verb: str) -> None:
    flags = set(re.findall(r"^  --([a-z-]+)", _help(verb), re.MULTILINE))
    asked = {name.replace("_", "-") for name in _parameters(verb)}
    assert asked - flags == {"accelerator"}, "which is for Dataflow alone"
    assert flags - asked <= LEFT_OUT


@pytest.mark.parametrize("verb", VERBS)
def test_what_can_be_chosen_is_what_the_command_knows(verb: str) -> None:
    choices = dict(re.findall(r"^  --([a-z-]+) \{(.+)\}", _help(verb), re.MULTILINE))
    choices["accelerator"] = ",".join(MACHINES)
    asked = {name.replace("_", "-"): one for name, one in _parameters(verb).items()}
    assert {name for name, one in asked.items() if "enumOptions" in one} == set(choices)
    for name, known in choices.items():
        options = [option["value"] for option in asked[name]["enumOptions"]]
        assert options == [one for one in known.split(",") if one not in OF_ONE_FILM]


def test_a_model_tells_caption_from_extract() -> None:
    assert "model" not in _parameters("extract")
    assert "isOptional" not in _parameters("caption")["model"]


def test_with_gpus_a_job_has_to_name_one() -> None:
    for verb in VERBS:
        asked = _spec(verb, "--accelerator=nvidia-l4")["metadata"]["parameters"]
        (accelerator,) = [one for one in asked if one["name"] == "accelerator"]
        assert accelerator["defaultValue"] == "nvidia-l4"
        assert "isOptional" not in accelerator
        assert _parameters(verb)["accelerator"]["isOptional"]


def test_the_scheduled_launch_gives_what_the_template_asks_for() -> None:
    launch = json.loads((DEPLOY / "schedules/launch.json").read_text())["launchParameter"]
    LaunchFlexTemplateParameter.from_json(json.dumps(launch), ignore_unknown_fields=False)
    asked, given = _parameters("caption"), launch["parameters"]
    assert {name for name, one in asked.items() if not one.get("isOptional")} <= set(given)
    assert all(re.fullmatch(asked[name]["regexes"][0], value) for name, value in given.items())


def _launch(*more: str, **parameters: str) -> subprocess.CompletedProcess[str]:
    """Call the launcher's file, with what the service adds to the template's parameters."""
    added = {
        "runner": "DataflowRunner",
        "project": "my-project",
        "region": "us-central1",
        "job_name": "nightly",
        "labels": '{"goog-dataflow-provided-template-type": "flex"}',
    }
    words = [f"--{name}={value}" for name, value in (parameters | added).items()]
    command = [sys.executable, DEPLOY / "dataflow/launch.py", *words, *more]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPTIONER_IMAGE", IMAGE)
        return subprocess.run(command, capture_output=True, text=True)


# A network that is made in a second.
ENCODER = {
    "encoder": "mobilenetv2",
    "encoder_weights": "none",
    "encoder_layer": "Conv1_relu",
    "image_size": "32",
}


def _extract(bucket: str, images: str, *more: str, **parameters: str):  # noqa: F811
    asked = ENCODER | {"input": images, "output": f"{bucket}/features"}
    asked |= {"temp_location": f"{bucket}/temporary", "staging_location": f"{bucket}/staging"}
    return _launch(*more, **(asked | parameters))


def _asked(output: str) -> dict[str, Any]:
    (file,) = [entry.uri for entry in storage.walk(f"{output}/plans") if "asked" in entry.uri]
    return json.loads(storage.read_bytes(file))


def test_a_launch_describes_the_job_with_the_image_itself(
    bucket: str,  # noqa: F811
    images: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    more = [f"--template_location={tmp_path}/job", "--machine_type=n2-highmem-4"]
    more += ["--max_num_workers=7", "--unheard_of=1"]
    parameters = {"shard_size": "2", "force": "true", "captions": "", "max_failures": "5%"}
    done = _extract(bucket, images, *more, **parameters)
    assert done.returncode == 0, done.stderr
    assert "left out: unknown flag: --unheard_of=1" in done.stderr
    job = json.loads((tmp_path / "job").read_text())
    assert job["name"] == "nightly"
    assert job["labels"] == {"goog-dataflow-provided-template-type": "flex"}
    (pool,) = job["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert pool["machineType"] == "n2-highmem-4"
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 7
    assert pool["numThreadsPerWorker"] == 2
    assert "no_use_multiple_sdk_containers" in job["environment"]["experiments"]
    asked = _asked(f"{bucket}/features")
    assert (asked["shard_size"], asked["force"], asked["max_failures"]) == (2, True, "5%")
    assert asked["captions"] is None


def test_a_launch_with_an_accelerator_takes_a_machine_for_it(
    bucket: str,  # noqa: F811
    images: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    done = _extract(
        bucket,
        images,
        f"--template_location={tmp_path}/job",
        accelerator="nvidia-l4",
        force="false",
    )
    assert done.returncode == 0, done.stderr
    (pool,) = json.loads((tmp_path / "job").read_text())["environment"]["workerPools"]
    assert pool["machineType"].startswith("g2-")
    assert _asked(f"{bucket}/features")["force"] is False


def test_a_launched_job_needs_its_launcher_no_more(
    service: FakeDataflow,  # noqa: F811
    bucket: str,  # noqa: F811
    images: str,  # noqa: F811
) -> None:
    known = set(service.jobs)
    service.is_held = True
    done = _extract(bucket, images, f"--dataflow_endpoint={service.endpoint}", shard_size="2")
    service.is_held = False
    assert done.returncode == 0, done.stderr
    (id,) = set(service.jobs) - known
    assert not list(storage.walk(f"{bucket}/features/runs"))
    service.begin(id)
    service.wait(id)
    assert service.jobs[id]["currentState"] == "JOB_STATE_DONE", service.messages[id]
    (manifest,) = storage.walk(f"{bucket}/features/runs")
    assert json.loads(storage.read_bytes(manifest.uri))["images"]["done"] == 3


def test_a_mistake_is_said_in_the_launchers_log(bucket: str) -> None:  # noqa: F811
    done = _launch(
        input=f"{bucket}/nothing", output="features", temp_location=f"{bucket}/temporary"
    )
    assert done.returncode == 2
    assert "error: --output=features: is on this machine" in done.stderr
    assert "Traceback" not in done.stderr
