"""Jobs on Dataflow: what is checked before, the job that is submitted, and its whole life.

All goes through run_dataflow.sh, with a local Cloud Storage and a small fake of the service.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from captioner import captions, storage, training
from captioner.training import TrainingOptions
from tests import toy_features
from tests.engines.fake_dataflow import FakeDataflow, in_this_process, staged_pipeline

pytestmark = pytest.mark.engines

ROOT = Path(__file__).parents[2]
IMAGE = "europe-west4-docker.pkg.dev/my-project/captioner/worker:0.1"


# A network that is made in a second.
ENCODER = ("--encoder=mobilenetv2", "--encoder-weights=none", "--encoder-layer=Conv1_relu")
ENCODER += ("--image-size=32",)


def _command(verb: str, **options: str | None) -> list[str]:
    return [
        str(ROOT / "run_dataflow.sh"),
        verb,
        *(f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value),
    ]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)


def _extract(bucket: str, images: str, *more: str, **options: str | None) -> list[str]:
    given = {
        "project": "my-project",
        "region": "us-central1",
        "bucket": f"{bucket}/dataflow",
        "worker_image": IMAGE,
        "input": images,
        "output": f"{bucket}/features",
    }
    return [*_command("extract", **(given | options)), *ENCODER, *more]


def _description(tmp_path: Path, command: list[str]) -> dict[str, Any]:
    """The job's description, which Beam writes instead of submitting it."""
    file = tmp_path / "job.json"
    done = _run(*command, f"--template_location={file}")
    assert done.returncode == 0, done.stderr
    assert "nothing was submitted" in done.stdout
    return json.loads(file.read_text())


def _pool(job: dict[str, Any]) -> dict[str, Any]:
    (pool,) = job["environment"]["workerPools"]
    return pool


def _options(job: dict[str, Any]) -> dict[str, Any]:
    return job["environment"]["sdkPipelineOptions"]["options"]


def _environment(pipeline: beam_runner_api_pb2.Pipeline) -> beam_runner_api_pb2.Environment:
    """The one environment of all steps."""
    steps = pipeline.components.transforms.values()
    (name,) = {step.environment_id for step in steps if step.environment_id}
    return pipeline.components.environments[name]


def _asked(output: str) -> dict[str, Any]:
    (file,) = [entry.uri for entry in storage.walk(f"{output}/plans") if "asked" in entry.uri]
    return json.loads(storage.read_bytes(file))


def test_the_description_for_cpus_has_what_the_flags_asked_for(
    bucket: str, images: str, tmp_path: Path
) -> None:
    command = _extract(
        bucket,
        images,
        "--no-public-ips",
        "--label=team=search",
        "--resource_hint=min_ram=16GB",
        "--worker_disk_type=pd-ssd",
        machine_type="n2-highmem-4",
        workers="2",
        max_workers="7",
        disk_gb="60",
        label="cost-centre=1234",
        service_account="worker@my-project.iam.gserviceaccount.com",
        network="inner",
        subnetwork="regions/us-central1/subnetworks/inner",
        job_name="nightly",
    )
    job = _description(tmp_path, command)
    assert job["name"] == "nightly" and job["type"] == "JOB_TYPE_BATCH"
    assert job["labels"] == {"team": "search", "cost-centre": "1234"}
    environment, pool, options = job["environment"], _pool(job), _options(job)
    bare = bucket.removeprefix("gs://")
    staged = f"storage.googleapis.com/{bare}/dataflow/temp/nightly."
    assert environment["tempStoragePrefix"].startswith(staged)
    assert options["staging_location"].startswith(f"{bucket}/dataflow/staging/nightly.")
    assert (options["project"], options["region"]) == ("my-project", "us-central1")
    assert environment["serviceAccountEmail"] == "worker@my-project.iam.gserviceaccount.com"
    assert {"use_runner_v2", "no_use_multiple_sdk_containers"} <= set(environment["experiments"])
    assert "use_multiple_sdk_containers" not in environment["experiments"]
    assert "serviceOptions" not in environment
    assert pool["machineType"] == "n2-highmem-4"
    assert (pool["diskSizeGb"], pool["diskType"]) == (60, "pd-ssd")
    assert pool["numWorkers"] == 2
    assert pool["autoscalingSettings"] == {
        "algorithm": "AUTOSCALING_ALGORITHM_BASIC",
        "maxNumWorkers": 7,
    }
    assert pool["numThreadsPerWorker"] == 2
    assert pool["ipConfiguration"] == "WORKER_IP_PRIVATE"
    assert pool["network"] == "inner"
    assert pool["subnetwork"] == "regions/us-central1/subnetworks/inner"
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [one["containerImage"] for one in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert "packages" not in pool, "nothing is installed on a worker"
    hints = _environment(staged_pipeline(job)).resource_hints
    assert dict(hints) == {common_urns.resource_hints.MIN_RAM_BYTES.urn: b"16000000000"}
    assert _asked(f"{bucket}/features")["batch_size"] == 32


def test_the_description_for_gpus_has_one_for_each_worker_and_larger_batches(
    bucket: str, images: str, tmp_path: Path
) -> None:
    job = _description(tmp_path, _extract(bucket, images, accelerator="nvidia-l4"))
    assert job["name"].startswith("captioner-extract-")
    pool, pipeline = _pool(job), staged_pipeline(job)
    assert pool["machineType"] == "g2-standard-8"
    assert pool["numThreadsPerWorker"] == 2
    assert "no_use_multiple_sdk_containers" in job["environment"]["experiments"]
    assert "serviceOptions" not in job["environment"], "Dataflow wants hints or these, not both"
    environment = _environment(pipeline)
    payload = beam_runner_api_pb2.DockerPayload.FromString(environment.payload)
    assert payload.container_image == IMAGE
    hint = b"type:nvidia-l4;count:1;machine_type:g2-standard-8;install-nvidia-driver"
    assert dict(environment.resource_hints) == {common_urns.resource_hints.ACCELERATOR.urn: hint}
    assert _asked(f"{bucket}/features")["batch_size"] == 128
    assert len(_execute_stages(pipeline)) == 1


def test_a_hint_of_one_step_would_split_the_stage(bucket: str, images: str, tmp_path: Path) -> None:
    pipeline = staged_pipeline(_description(tmp_path, _extract(bucket, images)))
    assert len(_execute_stages(pipeline)) == 1
    other = pipeline.components.environments["other"]
    other.CopyFrom(_environment(pipeline))
    other.resource_hints[common_urns.resource_hints.ACCELERATOR.urn] = b"type:nvidia-l4"
    for step in pipeline.components.transforms.values():
        if step.unique_name.startswith("Infer/") and step.environment_id:
            step.environment_id = "other"
    assert len(_execute_stages(pipeline)) > 1


def _execute_stages(pipeline: beam_runner_api_pb2.Pipeline) -> list[list[str]]:
    """The stages, after fusion, that reading, inference and writing are in."""
    _, stages = FnApiRunner().create_stages(in_this_process(pipeline))
    parts = ("Read and decode", "Infer/", "Write shards")
    names = [[step.unique_name for step in stage.transforms] for stage in stages]
    for part in parts:
        assert any(name.startswith(part) for stage in names for name in stage), part
    return [stage for stage in names if any(name.startswith(parts) for name in stage)]


def _submit(service: FakeDataflow, command: list[str]) -> list[str]:
    return [*command, f"--dataflow_endpoint={service.endpoint}"]


def _manifests(output: str) -> list[dict[str, Any]]:
    return [json.loads(storage.read_bytes(entry.uri)) for entry in storage.walk(f"{output}/runs")]


def test_a_job_is_followed_to_its_end_and_the_next_does_nothing_again(
    service: FakeDataflow, bucket: str, images: str
) -> None:
    command = _submit(service, _extract(bucket, images))
    done = _run(*command)
    assert done.returncode == 0, done.stderr
    assert "3 images: 3 done now" in done.stdout
    (job,) = [job for job in service.jobs.values() if bucket[5:] in job["name"]]
    link = f"https://console.cloud.google.com/dataflow/jobs/us-central1/{job['id']}"
    assert f"submitted {job['name']}: {link}?project=my-project" in done.stderr
    assert "job: basic: Worker configuration: n2-standard-8" in done.stderr
    assert "job: done" in done.stderr
    assert "Traceback" not in done.stderr
    (manifest,) = _manifests(f"{bucket}/features")
    assert manifest["images"]["done"] == 3
    assert storage.exists(f"{bucket}/features/dataset.json")
    again = _run(*command)
    assert "3 images: 0 done now, 3 done before" in again.stdout, again.stderr
    assert len({job["name"] for job in service.jobs.values() if bucket[5:] in job["name"]}) == 1


def test_more_failures_than_allowed_end_with_status_3(
    service: FakeDataflow, bucket: str, images: str
) -> None:
    storage.replace(f"{images}/empty.png", b"")
    done = _run(*_submit(service, _extract(bucket, images, "--max-failures=0")))
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: 1 of 4 images failed (1 empty)")
    assert "Traceback" not in done.stderr
    (manifest,) = _manifests(f"{bucket}/features")
    assert manifest["images"]["done"] == 3


def test_a_job_that_fails_is_one_line_with_a_link(
    service: FakeDataflow, bucket: str, images: str
) -> None:
    text = (
        "Error message from worker: generic::unknown: Traceback (most recent call last):\n"
        '  File "x.py", line 1, in <module>\n'
        "OSError: the disk is gone [while running 'Write shards-ptransform-12']\n\n"
        "passed through:\n==>\n    dist_proc/dax/workflow/worker/fnapi_service_impl.cc:1334"
    )
    with _held(service) as ids:
        process = subprocess.Popen(
            _submit(service, _extract(bucket, images)), stderr=subprocess.PIPE, text=True
        )
        id = ids()
        service.fail(id, text)
        said = process.communicate()[1]
    assert process.returncode == 2
    assert said.splitlines()[-1].startswith(
        "error: the job ended as FAILED: OSError: the disk is gone; "
    )
    assert f"{id}?project=my-project" in said and "Traceback" not in said


def test_a_fault_of_ours_on_a_worker_keeps_its_words(
    service: FakeDataflow, bucket: str, images: str
) -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in <module>\n'
        "captioner.errors.UserError: gs://a/out: the output directory has vanished; bring it back "
        "[while running 'Commit/Publish manifest-ptransform-12']\n\npassed through:\n    x.cc:1"
    )
    with _held(service) as ids:
        command = _submit(service, _extract(bucket, images))
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        service.fail(ids(), text)
        said = process.communicate()[1]
    assert process.returncode == 2
    expected = "error: gs://a/out: the output directory has vanished; bring it back; what is"
    assert said.splitlines()[-1].startswith(expected)


def test_a_service_that_refuses_is_said_in_a_line_and_stops_no_job(
    service: FakeDataflow, bucket: str, images: str, monkeypatch
) -> None:
    command = _submit(service, _extract(bucket, images))
    with _held(service) as ids:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        id = ids()
        monkeypatch.setattr(service, "is_locked", True)
        said = process.communicate()[1]
    assert process.returncode == 2 and "Traceback" not in said
    assert "can't be asked about the job any more" in said and "you lack dataflow" in said
    service.cancel(id)
    refused = _run(*command)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "error: Dataflow refused the job: 403" in refused.stderr


def test_a_job_that_someone_cancels_says_how_far_it_came(
    service: FakeDataflow, bucket: str, images: str
) -> None:
    with _held(service) as ids:
        process = subprocess.Popen(
            _submit(service, _extract(bucket, images)), stderr=subprocess.PIPE, text=True
        )
        id = ids()
        service.counters[id] = {"images_done": 2, "shards_written": 1}
        service.cancel(id)
        said = process.communicate()[1]
    assert process.returncode == 2
    assert "error: the job was cancelled; 2 images done" in said


def test_ctrl_c_leaves_the_job_running_and_says_how_to_cancel_it(
    service: FakeDataflow, bucket: str, images: str
) -> None:
    with _held(service) as ids:
        command = _submit(service, _extract(bucket, images))
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        id = ids()
        assert process.stderr is not None
        while "submitted" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
        assert process.returncode == 130
        cancel = f"gcloud dataflow jobs cancel {id} --project=my-project --region=us-central1"
        assert cancel in said and "Traceback" not in said
        assert service.jobs[id]["currentState"] == "JOB_STATE_RUNNING"
        # A second job of the same output isn't begun meanwhile, as a schedule might.
        refused = _run(*command)
        assert refused.returncode == 2
        assert "is still running in us-central1" in refused.stderr.splitlines()[-1]


def test_a_job_needs_no_client_once_it_is_submitted(
    service: FakeDataflow, bucket: str, images: str
) -> None:
    with _held(service) as ids:
        done = _run(*_submit(service, _extract(bucket, images, "--no-wait")))
        assert done.returncode == 0, done.stderr
        id = ids()
    assert f"gcloud dataflow jobs describe {id} --project=my-project" in done.stdout
    assert _manifests(f"{bucket}/features") == []
    service.begin(id)
    service.wait(id)
    (manifest,) = _manifests(f"{bucket}/features")
    assert manifest["images"]["done"] == 3
    assert f"{bucket}/features/runs/{manifest['run']}.json" in done.stdout


def test_too_many_failures_fail_a_job_that_nobody_waits_for(
    service: FakeDataflow, bucket: str, images: str
) -> None:
    storage.replace(f"{images}/empty.png", b"")
    with _held(service) as ids:
        command = _extract(bucket, images, "--no-wait", "--max-failures=0")
        assert _run(*_submit(service, command)).returncode == 0
        id = ids()
    service.begin(id)
    service.wait(id)
    assert service.jobs[id]["currentState"] == "JOB_STATE_FAILED"
    assert "1 of 4 images failed" in service.messages[id][-1]["messageText"]
    (manifest,) = _manifests(f"{bucket}/features")
    assert manifest["images"]["done"] == 3


@contextlib.contextmanager
def _held(service: FakeDataflow) -> Iterator[Callable[[], str]]:
    """Jobs stay in the state of running meanwhile; what is given waits for the next one's id."""
    before = set(service.jobs)
    service.is_held = True

    def submitted() -> str:
        while not (new := set(service.jobs) - before):
            time.sleep(0.1)
        return new.pop()

    try:
        yield submitted
    finally:
        service.is_held = False


def test_all_that_is_missing_is_said_at_once(settings: None) -> None:
    done = _run(*_command("caption", project="12345"))
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in said)
    for flag in ("project=12345", "region", "bucket", "worker-image", "input", "output", "model"):
        assert any(line.startswith(f"error: --{flag}") for line in said), flag


def test_buckets_that_are_not_there_or_far_away_are_said(bucket: str, images: str) -> None:
    done = _run(*_extract(bucket, "gs://nobody-has-this/in", region="europe-west4"))
    assert done.returncode == 2
    assert (
        f"--bucket={bucket}/dataflow: is in us-central1 and the job in europe-west4" in done.stderr
    )
    assert "--input=gs://nobody-has-this/in: there is no such bucket" in done.stderr
    done = _run(*_extract("gs://nobody-has-this", images))
    assert "gcloud storage buckets create gs://NAME --location=us-central1" in done.stderr


def test_credentials_that_are_refused_or_missing_are_said(
    bucket: str, images: str, monkeypatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/account.json")
    done = _run(*_extract(bucket, images))
    assert done.returncode == 2
    assert "gcloud auth application-default login" in done.stderr


def test_credentials_need_not_tell_the_project(
    bucket: str, images: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    account = json.loads(Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    del account["project_id"]
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    assert _description(tmp_path, _extract(bucket, images))["name"]


def test_a_list_of_files_that_no_worker_sees_is_said(bucket: str) -> None:
    storage.replace(f"{bucket}/list.txt", b"photos/0.png\n/home/me/photos/1.png\n")
    done = _run(*_extract(bucket, f"{bucket}/list.txt"))
    assert done.returncode == 2
    assert "names '/home/me/photos/1.png', which no worker sees" in done.stderr


def test_captions_on_dataflow(
    service: FakeDataflow, bucket: str, images: str, tmp_path: Path
) -> None:
    toy_features.write(f"{tmp_path}/features", {"train": 24, "dev": 4})
    settings = {"units": 8, "embedding": 8, "heads": 2}
    options = TrainingOptions(settings=settings, epochs=1, min_count=1)
    training.train(f"{tmp_path}/features", f"{tmp_path}/model", options)
    for entry in storage.walk(f"{tmp_path}/model"):
        relative = entry.uri.removeprefix(f"{tmp_path}/")
        storage.replace(f"{bucket}/{relative}", storage.read_bytes(entry.uri))
    places = {"input": images, "model": f"{bucket}/model", "output": f"{bucket}/captions"}
    known = {"project": "my-project", "region": "us-central1", "bucket": bucket}
    done = _run(*_submit(service, _command("caption", worker_image=IMAGE, **known, **places)))
    assert done.returncode == 0, done.stderr
    found = captions.read(f"{bucket}/captions")
    assert sorted(record.id for record in found) == ["0.png", "1.png", "2.png"]


def test_a_dry_run_needs_nothing_of_dataflow(bucket: str, images: str) -> None:
    done = _run(*_extract(bucket, images, "--dry-run", worker_image=None))
    assert done.returncode == 0, done.stderr
    assert "--worker-image is missing" in done.stderr
    assert "3 images" in done.stdout
