"""What is asked of Dataflow, checked as it is written: no network is needed for that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.dataflow import settings
from pipelines.dataflow.checking import problems
from pipelines.dataflow.settings import Settings, beam_flags, command, parse

RIGHT = {
    "project": "my-project",
    "region": "europe-west4",
    "bucket": "gs://my-bucket/dataflow",
    "worker-image": "europe-west4-docker.pkg.dev/my-project/captioner/worker:0.1",
    "input": "gs://my-bucket/photos",
    "output": "gs://my-bucket/captions",
    "model": "gs://my-bucket/model",
}
DIGEST = "gcr.io/my-project/worker@sha256:" + "0" * 64


def _parsed(*more: str, verb: str = "caption", **changes: str | None) -> Settings:
    given = RIGHT | {name.replace("_", "-"): value for name, value in changes.items()}
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return parse([verb, *words, *more])[0]


@pytest.fixture(autouse=True)
def _no_defaults(monkeypatch) -> None:
    for name in ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_COMPUTE_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"project": "example.com:my-project"},
        {"region": "northamerica-northeast1"},
        {"bucket": "gs://my.bucket_1"},
        {"worker_image": DIGEST},
        {"worker_image": "registry.example.com:5000/worker:v2"},
        {"machine_type": "n2-custom-8-16384"},
        {"accelerator": "nvidia-tesla-t4", "machine_type": "n1-highmem-4"},
        {"workers": "3", "max_workers": "3", "disk_gb": "200"},
        {"service_account": "worker@my-project.iam.gserviceaccount.com"},
        {"service_account": "123-compute@developer.gserviceaccount.com"},
        {"subnetwork": "regions/europe-west4/subnetworks/a"},
        {
            "subnetwork": "https://www.googleapis.com/compute/v1/projects/p/"
            "regions/europe-west4/subnetworks/a"
        },
        {"label": "team=search_1"},
        {"label": "nightly="},
        {"verb": "extract", "model": None},
        {"input": "gs://my-bucket/a list.txt", "job_name": "nightly-2"},
    ],
)
def test_what_is_right_has_no_problem(changes: dict[str, str]) -> None:
    assert problems(_parsed(**changes), []) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"project": None}, "--project is missing"),
        ({"project": "1234567"}, "give the project's id"),
        ({"project": "My Project"}, "is no project id"),
        ({"region": None}, "--region is missing"),
        ({"region": "europe-west4-a"}, "is a zone; its region is europe-west4"),
        ({"region": "Europe"}, "is no region"),
        ({"bucket": None}, "--bucket is missing"),
        ({"bucket": "my-bucket"}, "is no bucket"),
        ({"bucket": "s3://my-bucket"}, "is no bucket"),
        ({"worker_image": None}, "--worker-image is missing"),
        ({"worker_image": "captioner"}, "is no image"),
        ({"worker_image": "gcr.io/my-project/worker"}, "name a version"),
        ({"worker_image": "gcr.io/my-project/worker:latest"}, "name a version"),
        ({"worker_image": "gcr.io/my project/worker:1"}, "is no image"),
        ({"machine_type": "big"}, "is no machine type"),
        ({"accelerator": "t4"}, "choose one of nvidia-l4"),
        ({"accelerator": "nvidia-l4:2"}, "give the type alone"),
        ({"accelerator": "nvidia-l4", "machine_type": "n1-standard-8"}, "goes with machines g2-"),
        ({"max_workers": "many"}, "--max-workers=many: is no whole number"),
        ({"workers": "0"}, "--workers=0: is no whole number"),
        ({"disk_gb": "-5"}, "--disk-gb=-5: is no whole number"),
        ({"workers": "11"}, "more than --max-workers=10"),
        ({"label": "Team=search"}, "is no KEY=VALUE"),
        ({"label": "team"}, "is no KEY=VALUE"),
        ({"label": "team=" + "x" * 64}, "is no KEY=VALUE"),
        ({"service_account": "me@example.com"}, "is no service account"),
        ({"subnetwork": "inner"}, "give it as regions/REGION/subnetworks/NAME"),
        ({"subnetwork": "regions/us-east1/subnetworks/a"}, "is not in the job's region"),
        ({"job_name": "Nightly Job"}, "is no name"),
        ({"input": None}, "--input is missing"),
        ({"input": "photos"}, "--input=photos: is on this machine, where no worker sees it"),
        ({"captions": "/home/me/captions.csv"}, "is on this machine"),
        ({"output": "s3://my-bucket/out"}, "workers read and write in gs:// only"),
        ({"model": None}, "--model is missing"),
        ({"verb": "train"}, "'train' is no verb"),
        ({"verb": ""}, "'' is no verb"),
    ],
)
def test_what_is_missing_or_wrong_is_said(changes: dict[str, str], said: str) -> None:
    (problem,) = problems(_parsed(**changes), [])
    assert said in problem


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (["--runner=SparkRunner"], "--runner: leave it out"),
        (["--dataflow_service_options=worker_accelerator=type:a"], "give --accelerator instead"),
        (["--flexrs_goal=COST_OPTIMIZED"], "can't be had so"),
        (["--worker_machine_type", "n1-standard-8"], "give --machine-type instead"),
    ],
)
def test_flags_of_beam_that_would_contradict_are_refused(others: list[str], said: str) -> None:
    (problem,) = problems(_parsed(accelerator="nvidia-l4"), others)
    assert said in problem


def test_each_of_several_models_is_checked_and_passed_on() -> None:
    more = ("--model=gs://my-bucket/other", "--model=models/third")
    (problem,) = problems(_parsed(*more), [])
    assert "--model=models/third: is on this machine" in problem
    words = command(_parsed(*more[:1]), [])
    assert [word for word in words if word.startswith("--model=")] == [
        "--model=gs://my-bucket/model",
        "--model=gs://my-bucket/other",
    ]


def test_all_problems_come_at_once() -> None:
    found = problems(parse(["caption", "--label=X", "--accelerator=t4"])[0], ["--runner=X"])
    assert len(found) == 10


def test_options_that_are_not_ours_pass_through_in_order_and_come_last() -> None:
    words = ["--width", "3", "--batch-size=64", "--force", "--num_workers=2", "--no-wait"]
    known, others = parse(["caption", "--project=my-project", *words])
    assert others == words and known.project == "my-project"
    assert command(known, others)[-len(words) :] == words


def test_the_environment_tells_project_and_region_but_what_is_given_prevails(monkeypatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "other-project")
    monkeypatch.setenv("CLOUDSDK_COMPUTE_REGION", "us-east1")
    assert (_parsed().project, _parsed().region) == ("my-project", "europe-west4")
    found = _parsed(project=None, region=None)
    assert (found.project, found.region) == ("other-project", "us-east1")


@pytest.mark.parametrize("accelerator", settings.MACHINES)
def test_each_accelerator_gets_a_machine_it_goes_with(accelerator: str) -> None:
    known = _parsed(accelerator=accelerator)
    assert problems(known, []) == []
    flags = beam_flags(known)
    assert f"--machine_type={known.machine}" in flags
    assert problems(_parsed(accelerator=accelerator, machine_type=known.machine), []) == []
    (hint,) = [flag for flag in flags if flag.startswith("--resource_hint=")]
    assert f"type:{accelerator};count:1;machine_type:{known.machine}" in hint


@given(st.text(max_size=200), st.sampled_from(settings.VERBS))
def test_a_job_name_is_one_whatever_the_output(output: str, verb: str) -> None:
    found = problems(Settings(verb, output=f"gs://{output}"), [])
    assert not [problem for problem in found if "--job-name" in problem]


@given(st.text(max_size=80), st.text(max_size=80))
def test_job_names_tell_outputs_and_verbs_apart(one: str, other: str) -> None:
    names = {
        Settings(verb, output=f"gs://my-bucket/{output}").name
        for verb in settings.VERBS
        for output in (one, other, f"{one}/")
    }
    assert len(names) == 2 * len({one.rstrip("/"), other.rstrip("/")})
