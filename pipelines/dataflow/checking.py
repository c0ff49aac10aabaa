"""Checks before a job is submitted: all that is missing or wrong, each with what to do about it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import re
from collections.abc import Iterator, Sequence

import google.auth
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.auth.transport.requests import Request
from google.cloud.storage import Client

from captioner import listing, storage
from captioner.errors import UserError
from captioner.listing import lists
from pipelines.dataflow.settings import MACHINES, VERBS, Settings

_PROJECT = re.compile(r"([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REGION = re.compile(r"[a-z]+-[a-z]+\d+")
_ZONE = re.compile(rf"({_REGION.pattern})-[a-z]")
_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?")
_IMAGE = re.compile(
    r"(?P<name>[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+)(:(?P<tag>[\w][\w.-]*))?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_MACHINE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_MAX_LABELS = 64
_EMAIL = re.compile(r"[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com")
_SUBNETWORK = re.compile(r"(https://.+/)?regions/(?P<region>[a-z0-9-]+)/subnetworks/[a-z0-9-]+")
_LOOKED_AT = 256  # rows of a list
_JOB_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")

# Places of several regions, and how the names of those regions begin.
_CONTINENTS = {"us": "us-", "eu": "europe-", "asia": "asia-"}
_LOGIN = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"

_ROLE = "ask for the role storage.objectAdmin on it"


def problems(settings: Settings, others: Sequence[str]) -> list[str]:
    """All that is wrong with settings as they are written.

    Args:
        others: the words that are for the command or for Beam.
    """
    checks = (_project, _region, _bucket, _image, _machine, _accelerator, _numbers)
    checks += (_labels, _account, _network, _job_name, _places)
    found = [problem for check in checks for problem in check(settings)]
    return found + list(_others(settings, others))


def obstacles(settings: Settings) -> list[str]:
    """All that stands in the way of settings that are written right: needs the network."""
    checks = (_bucket_in_reach, _places_in_reach, _list)
    return _credentials() or [problem for check in checks for problem in check(settings)]


def remarks(settings: Settings) -> list[str]:
    """What costs money without need, as far as it can be known."""
    return [
        f"--{name}={place}: this bucket is in {location} and the job in {settings.region}: what "
        "goes between them is slow and costs money"
        for name, place in settings.places
        if (location := _far_away(place, settings.region))
    ]


def _project(settings: Settings) -> Iterator[str]:
    if not settings.project:
        yield "--project is missing: the id of the Google Cloud project"
    elif settings.project.isdigit():
        yield f"--project={settings.project}: is a number; give the project's id"
    elif not _PROJECT.fullmatch(settings.project):
        yield f"--project={settings.project}: is no project id, such as my-project-123"


def _region(settings: Settings) -> Iterator[str]:
    region = settings.region
    if not region:
        yield "--region is missing: where the job runs, such as europe-west4"
    elif zone := _ZONE.fullmatch(region):
        yield f"--region={region}: is a zone; its region is {zone[1]}"
    elif not _REGION.fullmatch(region):
        yield f"--region={region}: is no region, such as europe-west4"


def _bucket(settings: Settings) -> Iterator[str]:
    bucket = settings.bucket
    if not bucket:
        yield "--bucket is missing: gs:// and a bucket for temporary files, in the job's region"
    elif not _BUCKET.fullmatch(bucket):
        yield f"--bucket={bucket}: is no bucket, such as gs://my-bucket or gs://my-bucket/dataflow"


def _image(settings: Settings) -> Iterator[str]:
    image = settings.worker_image
    if not image:
        yield "--worker-image is missing: the image that workers run; docs/dataflow.md builds it"
        return
    found = _IMAGE.fullmatch(image)
    if not found:
        yield (
            f"--worker-image={image}: is no image, such as "
            "REGION-docker.pkg.dev/PROJECT/REPOSITORY/captioner:1"
        )
    elif not found["digest"] and found["tag"] in (None, "latest"):
        yield (
            f"--worker-image={image}: name a version by its tag or digest; 'latest' may be another "
            "image for the workers that start later"
        )


def _machine(settings: Settings) -> Iterator[str]:
    if settings.machine_type and not _MACHINE.fullmatch(settings.machine_type):
        yield f"--machine-type={settings.machine_type}: is no machine type, such as n2-standard-8"


def _accelerator(settings: Settings) -> Iterator[str]:
    wanted = settings.accelerator
    if not wanted:
        return
    kind, _, count = wanted.partition(":")
    if kind not in MACHINES:
        yield f"--accelerator={wanted}: choose one of {', '.join(MACHINES)}"
        return
    if count:
        yield (
            f"--accelerator={wanted}: give the type alone; a worker has one model and so one GPU, "
            "and more workers (--max-workers) take more GPUs"
        )
    family, example = MACHINES[kind]
    if settings.machine_type and not settings.machine_type.startswith(family):
        yield (
            f"--machine-type={settings.machine_type}: {kind} goes with machines {family}… only, "
            f"such as {example}; leave the flag out to get that"
        )


def _numbers(settings: Settings) -> Iterator[str]:
    given = {
        "workers": settings.workers,
        "max-workers": settings.max_workers,
        "disk-gb": settings.disk_gb,
    }
    wrong = [
        name
        for name, text in given.items()
        if text is not None and not (text.isascii() and text.isdigit() and int(text) > 0)
    ]
    yield from (f"--{name}={given[name]}: is no whole number from 1" for name in wrong)
    if not wrong and settings.workers and int(settings.workers) > int(settings.max_workers):
        yield f"--workers={settings.workers}: is more than --max-workers={settings.max_workers}"


def _labels(settings: Settings) -> Iterator[str]:
    for label in settings.label:
        key, equals, value = label.partition("=")
        if not (equals and _LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value)):
            yield (
                f"--label={label}: is no KEY=VALUE of lower-case letters, digits, - and _, the key "
                "with a letter first and each of at most 63"
            )
    if len(settings.label) > _MAX_LABELS:
        yield f"--label: there are {len(settings.label)}, and Dataflow takes {_MAX_LABELS}"


def _account(settings: Settings) -> Iterator[str]:
    account = settings.service_account
    if account and not _EMAIL.fullmatch(account):
        yield (
            f"--service-account={account}: is no service account, such as "
            "NAME@PROJECT.iam.gserviceaccount.com"
        )


def _network(settings: Settings) -> Iterator[str]:
    subnetwork = settings.subnetwork
    if not subnetwork:
        return
    found = _SUBNETWORK.fullmatch(subnetwork)
    if not found:
        yield f"--subnetwork={subnetwork}: give it as regions/REGION/subnetworks/NAME"
    elif settings.region and found["region"] != settings.region:
        yield f"--subnetwork={subnetwork}: is not in the job's region, {settings.region}"


def _job_name(settings: Settings) -> Iterator[str]:
    if not _JOB_NAME.fullmatch(settings.name):
        yield (
            f"--job-name={settings.name}: is no name of at most 63 lower-case letters, digits "
            "and -, with a letter first"
        )


def _places(settings: Settings) -> Iterator[str]:
    needed = {"input": "the images", "output": "where the results go"}
    if settings.verb == "caption":
        needed["model"] = "made by train"
    for name, place in settings.places:
        if not place and name in needed:
            yield f"--{name} is missing: gs://…, {needed[name]}"
        elif place and "://" not in place:
            yield (
                f"--{name}={place}: is on this machine, where no worker sees it; copy it "
                "to a bucket (`gcloud storage cp -r`) and give gs://…"
            )
        elif place and not _BUCKET.fullmatch(place):
            yield f"--{name}={place}: workers read and write in gs:// only"


def _others(settings: Settings, others: Sequence[str]) -> Iterator[str]:
    names = {word.split("=")[0] for word in others}
    if settings.verb not in VERBS:
        yield f"'{settings.verb}' is no verb: begin with {' or '.join(VERBS)}"
    if "--runner" in names:
        yield "--runner: leave it out; this is for Dataflow"
    if names & {"--machine_type", "--worker_machine_type"}:
        yield "--machine_type: give --machine-type instead, which goes with the accelerator"
    if any("worker_accelerator=" in word for word in others):
        yield "worker_accelerator: give --accelerator instead; both together are refused"
    has_hints = settings.accelerator or names & {"--resource_hint", "--resource_hints"}
    if has_hints and "--flexrs_goal" in names:
        yield "--flexrs_goal: workers with an accelerator or other hints can't be had so"


def _credentials() -> list[str]:
    """What is wrong with the credentials on this machine, found by getting a token with them."""
    try:
        credentials, _ = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"])
        credentials.refresh(Request())
    except DefaultCredentialsError:
        return [f"there are no Google Cloud credentials on this machine: {_LOGIN}"]
    except GoogleAuthError as error:
        reason = " ".join(str(error.args[0] if error.args else error).split())
        return [f"Google Cloud refuses the credentials on this machine ({reason}): {_LOGIN}"]
    return []


def _bucket_in_reach(settings: Settings) -> Iterator[str]:
    bucket = settings.bucket or ""
    if not _BUCKET.fullmatch(bucket):
        return
    try:
        storage.create(storage.join(bucket, "writable"), b"")
    except PermissionError:
        yield f"--bucket={bucket}: you may not write to it; {_ROLE}"
    except OSError as error:
        if error.errno == errno.ENXIO:
            yield f"--bucket={bucket}: there is no such bucket; {_make(settings)}"
        else:
            yield f"--bucket={bucket}: {error.strerror or error}"
    else:
        if location := _far_away(bucket, settings.region):
            yield (
                f"--bucket={bucket}: is in {location} and the job in {settings.region}; take that "
                f"--region, or {_make(settings)}"
            )


def _make(settings: Settings) -> str:
    return f"make one: `gcloud storage buckets create gs://NAME --location={settings.region}`"


def _places_in_reach(settings: Settings) -> Iterator[str]:
    for name, place in settings.places:
        try:
            if place and _BUCKET.fullmatch(place):
                next(storage.level(place), None)
        except PermissionError:
            yield f"--{name}={place}: you may not list it; {_ROLE}"
        except OSError as error:
            yield f"--{name}={place}: {error.strerror or error}"


def _list(settings: Settings) -> Iterator[str]:
    """A list in a bucket may name files that are on this machine."""
    source = settings.input or ""
    if not (_BUCKET.fullmatch(source) and listing.is_list(source)):
        return
    with contextlib.suppress(OSError, UserError):  # the command says these
        named = itertools.chain.from_iterable(map(lists.read, lists.parts(source)))
        for id, (uri, *_) in itertools.islice(named, _LOOKED_AT):
            if not uri.startswith("gs://"):
                yield f"--input={source}: names '{id}', which no worker sees; name files in gs://"
                return


def _far_away(place: str | None, region: str | None) -> str:
    """Where a bucket is if that is not with the job; empty where it is, or can't be known."""
    if not place or not _BUCKET.fullmatch(place):
        return ""
    try:
        location = Client(project=None).get_bucket(place.split("/")[2]).location.lower()
    except (GoogleAPICallError, GoogleAuthError, OSError):  # it takes a role that few have
        return ""
    if location == region or _REGION.fullmatch(location):
        return "" if location == region else location
    return "" if (region or "").startswith(_CONTINENTS.get(location, "")) else location
