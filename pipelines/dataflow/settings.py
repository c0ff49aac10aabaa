"""What a job asks of Dataflow, and the flags by which Beam is told."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import re
from collections.abc import Sequence

from captioner import storage

VERBS = ("extract", "caption")

# The one kind of machine that a GPU is to be had with, and one of that kind with a single GPU.
MACHINES = {
    "nvidia-l4": ("g2-", "g2-standard-8"),
    "nvidia-tesla-t4": ("n1-", "n1-standard-8"),
    "nvidia-tesla-p4": ("n1-", "n1-standard-8"),
    "nvidia-tesla-p100": ("n1-", "n1-standard-8"),
    "nvidia-tesla-v100": ("n1-", "n1-standard-8"),
    "nvidia-tesla-a100": ("a2-highgpu-", "a2-highgpu-1g"),
    "nvidia-a100-80gb": ("a2-ultragpu-", "a2-ultragpu-1g"),
    "nvidia-h100-80gb": ("a3-highgpu-", "a3-highgpu-1g"),
}
_CPU_MACHINE = "n2-standard-8"

# Images a GPU takes at once; where its memory is too small for so many, the job halves them.
_GPU_BATCH = 128

# A worker is one process with one model. A second bundle at a time fills the gaps of the first,
# which come when one task ends and the next begins.
_THREADS = 2

# The kinds of a job name's characters, and how many Dataflow takes.
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_NAME_LENGTH = 63


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is asked of Dataflow, as it was given: nothing of it is checked yet.

    Args:
        verb: of the command, "extract" or "caption".
        project, region: where the job runs.
        bucket: ``gs://`` and a bucket, or a prefix in one, for temporary and staged files.
        worker_image: the image that workers run.
        machine_type: of the workers; by default one that goes with the accelerator.
        accelerator: the type of the one GPU that each worker has.
        workers, max_workers: how many there are at first, and at most.
        disk_gb: of each worker; the image has to fit too.
        label: pairs ``key=value``.
        service_account: whom the workers act as.
        network, subnetwork: which the workers are in.
        no_public_ips: whether they have private addresses only.
        job_name: by default one that is the same for the same verb and output.
        input, output, model, captions, splits: the job's own places, which workers must see.
    """

    verb: str
    project: str | None = None
    region: str | None = None
    bucket: str | None = None
    worker_image: str | None = None
    machine_type: str | None = None
    accelerator: str | None = None
    workers: str | None = None
    max_workers: str = "10"
    disk_gb: str = "50"
    label: Sequence[str] = ()
    service_account: str | None = None
    network: str | None = None
    subnetwork: str | None = None
    no_public_ips: bool = False
    job_name: str | None = None
    input: str | None = None
    output: str | None = None
    model: Sequence[str] = ()
    captions: str | None = None
    splits: str | None = None

    @property
    def machine(self) -> str:
        """The machine type that was asked for, or the one that goes with the accelerator."""
        return self.machine_type or MACHINES.get(self.accelerator or "", ("", _CPU_MACHINE))[1]

    @property
    def name(self) -> str:
        """The job's name. Dataflow runs one job of a name at a time, so schedules don't overlap."""
        if self.job_name:
            return self.job_name
        output = (self.output or "").rstrip("/")
        mark = hashlib.sha256(output.encode()).hexdigest()[:8]
        readable = _NOT_IN_NAMES.sub("-", output.removeprefix("gs://").lower())
        name = f"captioner-{self.verb}-{readable}"[: _NAME_LENGTH - len(mark) - 1]
        return f"{name.rstrip('-')}-{mark}"

    @property
    def places(self) -> list[tuple[str, str | None]]:
        """What workers read and write, each with the name of its flag."""
        names = ("input", "output", "captions", "splits")
        models = [("model", model) for model in self.model or (None,)]
        return [*((name, getattr(self, name)) for name in names), *models]


_HELP = {
    "project": ("ID", "the Google Cloud project"),
    "region": ("REGION", "where the job runs, such as europe-west4; that of the images is best"),
    "bucket": ("gs://BUCKET", "for temporary and staged files; in the region of the job"),
    "worker-image": ("URI", "the image that workers run, with a tag or digest"),
    "machine-type": ("TYPE", f"of the workers; {_CPU_MACHINE}, or what goes with the accelerator"),
    "accelerator": ("TYPE", f"one GPU for each worker: {', '.join(MACHINES)}"),
    "workers": ("N", "at first; by default Dataflow decides"),
    "max-workers": ("N", "at most, by how fast the job gets on; 10"),
    "disk-gb": ("N", "of each worker, its image included; 50"),
    "service-account": ("EMAIL", "whom the workers act as; the project's own"),
    "network": ("NAME", "which the workers are in"),
    "subnetwork": ("regions/REGION/subnetworks/NAME", "which the workers are in"),
    "job-name": ("NAME", "by default the same for the same verb and output"),
    "input": ("gs://…", "the images"),
    "output": ("gs://…", "where features or captions go"),
    "captions": ("gs://…", "captions of the images, for extract"),
    "splits": ("gs://…", "lists of the images for training, development and test"),
}

# As Google's own programs are told them.
_VARIABLES = {"project": "GOOGLE_CLOUD_PROJECT", "region": "CLOUDSDK_COMPUTE_REGION"}


def parse(arguments: Sequence[str]) -> tuple[Settings, list[str]]:
    """Settings from a command line, and the words that are for the command or for Beam.

    Args:
        arguments: the verb first.
    """
    verb = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    given, others = parser().parse_known_args(arguments[1:] if verb else arguments)
    defaults = {
        name: os.environ[variable]
        for name, variable in _VARIABLES.items()
        if os.environ.get(variable)
    }
    return Settings(verb, **(defaults | vars(given))), others


def parser() -> argparse.ArgumentParser:
    """What parses the script's own arguments; the others are the command's, or Beam's."""
    parser = argparse.ArgumentParser(
        prog="./run_dataflow.sh",
        usage="%(prog)s extract|caption [--help] OPTION ...",
        description="Run extract or caption on Google Cloud Dataflow.",
        epilog="All other options of `captioner extract|caption` pass through, among them "
        "--no-wait and --dry-run, and so do Beam's own flags. See docs/dataflow.md.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    for name, (value, text) in _HELP.items():
        parser.add_argument(f"--{name}", metavar=value, help=text)
    parser.add_argument(
        "--model", metavar="gs://…", action="append", help="made by train, for caption; or several"
    )
    parser.add_argument("--label", metavar="KEY=VALUE", action="append", help="may be repeated")
    parser.add_argument("--no-public-ips", action="store_true", help="private addresses only")
    return parser


def command(settings: Settings, others: Sequence[str]) -> list[str]:
    """The arguments of the `captioner` command that runs the job on Dataflow.

    Args:
        others: words of the user's own; they come last and so prevail.
    """
    places = [f"--{name}={place}" for name, place in settings.places if place]
    batch = [f"--batch-size={_GPU_BATCH}"] if settings.accelerator else []
    return [settings.verb, *places, *batch, *beam_flags(settings), *others]


def beam_flags(settings: Settings) -> list[str]:
    """Beam's flags for settings that are right."""
    values = {
        "runner": "DataflowRunner",
        "project": settings.project,
        "region": settings.region,
        "job_name": settings.name,
        "temp_location": storage.join(settings.bucket or "", "temp"),
        "staging_location": storage.join(settings.bucket or "", "staging"),
        # The image has everything, so nothing but the pipeline is staged.
        "sdk_container_image": settings.worker_image,
        "sdk_location": "container",
        # One process on a machine, and so one model: by default there is one for each core.
        "experiments": "no_use_multiple_sdk_containers,disable_logging_submission_environment",
        "number_of_worker_harness_threads": _THREADS,
        "machine_type": settings.machine,
        "autoscaling_algorithm": "THROUGHPUT_BASED",
        "num_workers": settings.workers,
        "max_num_workers": settings.max_workers,
        "disk_size_gb": settings.disk_gb,
        "service_account_email": settings.service_account,
        "network": settings.network,
        "subnetwork": settings.subnetwork,
    }
    flags = [f"--{name}={value}" for name, value in values.items() if value]
    flags.append("--no_save_main_session")
    flags += [f"--label={label}" for label in settings.label]
    flags += ["--no_use_public_ips"] if settings.no_public_ips else []
    if settings.accelerator:
        flags.append(f"--resource_hint=accelerator={accelerator(settings)}")
    return flags


def accelerator(settings: Settings) -> str:
    """The hint for a GPU. It is one for the whole pipeline: hints of a step would split its stage.

    Dataflow wants either such a hint or the service option `worker_accelerator`, not both.
    """
    return (
        f"type:{settings.accelerator};count:1;machine_type:{settings.machine};install-nvidia-driver"
    )
