"""`captioner-worker`: starts Beam's Python worker where an engine wants a process for it.

Engines start workers through a program that Beam calls boot: a Go binary that comes in its
container images and nowhere else. This is the same for machines on which the project is installed
already, so that nothing need be fetched or unpacked: it asks the engine for the pipeline's options
and becomes the worker. See `Beam's container contract
<https://github.com/apache/beam/blob/v2.77.0/sdks/python/container/boot.go>`_ for the flags.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import grpc
from apache_beam.portability.api import (
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format

_SECONDS = 60  # for the engine to answer


def main(arguments: Sequence[str] | None = None) -> None:
    """Be a worker until the engine has no more use for it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.update(environment(_parse(arguments)))
    sdk_worker_main.main([])


def environment(parsed: argparse.Namespace) -> dict[str, str]:
    """What Beam's worker is told by its environment."""
    info = provision_info(parsed.id, parsed.provision_endpoint)
    logging = info.logging_endpoint.url or parsed.logging_endpoint
    control = info.control_endpoint.url or parsed.control_endpoint
    return {
        "WORKER_ID": parsed.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
        "LOGGING_API_SERVICE_DESCRIPTOR": _descriptor(logging),
        "CONTROL_API_SERVICE_DESCRIPTOR": _descriptor(control),
    }


def provision_info(worker: str, endpoint: str) -> beam_provision_api_pb2.ProvisionInfo:
    """What the engine at `endpoint`, HOST:PORT, tells its worker."""
    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        metadata = [("worker_id", worker)]
        answer = stub.GetProvisionInfo(
            request, metadata=metadata, timeout=_SECONDS, wait_for_ready=True
        )
    return answer.info


def _descriptor(url: str) -> str:
    return text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url))


def _unquoted(text: str) -> str:
    return text.strip("'")  # Prism quotes it as if for a shell


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="captioner-worker", description=__doc__)
    parser.add_argument("--id", required=True, type=_unquoted, help="the worker's")
    parser.add_argument("--provision_endpoint", required=True, help="HOST:PORT")
    for service in ("logging", "control"):
        parser.add_argument(f"--{service}_endpoint", default="", help="HOST:PORT")
    # Artifacts would be what the client staged, and ours stages nothing.
    return parser.parse_known_args(arguments)[0]


if __name__ == "__main__":
    main()
