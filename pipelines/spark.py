"""What `run_spark.sh` calls: the command on a Spark cluster, with what a long job needs there."""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import sys
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path

from captioner import cli
from captioner.cli.arguments import Parser
from captioner.errors import UserError

_DESCRIPTION = """Run `captioner extract` or `captioner caption` on a Spark 3 cluster. All that is
not listed here goes to that command: its own flags, and Beam's."""

# A worker process, and the model in it, is kept for so long after its last bundle. Without that,
# Beam starts one a bundle.
KEEP_WORKERS_MS = 3_600_000

# Java 17 hides from Spark and Beam what they look into. With less than all of these a job has been
# seen to hang after a worker was killed.
_OPENED = (
    "java.io",
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)
ADD_OPENS = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED]

_JAVA_OPTIONS = "spark.executor.extraJavaOptions"

# An executor whose worker process died is of no use any more, since it keeps that worker. So the
# first failure excludes it, which ends it, and the cluster starts another in its place.
_SURVIVE = {
    "spark.task.maxFailures": "8",
    "spark.excludeOnFailure.enabled": "true",
    "spark.excludeOnFailure.killExcludedExecutors": "true",
    "spark.excludeOnFailure.task.maxTaskAttemptsPerNode": "7",
    "spark.excludeOnFailure.stage.maxFailedTasksPerExecutor": "1",
    "spark.excludeOnFailure.application.maxFailedTasksPerExecutor": "1",
    "spark.excludeOnFailure.stage.maxFailedExecutorsPerNode": "100",
    "spark.excludeOnFailure.application.maxFailedExecutorsPerNode": "100",
    _JAVA_OPTIONS: " ".join(ADD_OPENS),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command on a cluster.

    Returns:
        The exit status, see `cli.main`.
    """
    try:
        parsed, rest = parser().parse_known_args(arguments)
        check(parsed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    return cli.main([parsed.verb, *rest, *flags(parsed)])


def check(parsed: argparse.Namespace) -> None:
    """Find out now what would fail later.

    Raises:
        UserError: with all that is wrong.
    """
    problems = [*_problems_of_workers(parsed), *_problems_of_cluster(parsed)]
    if problems:
        raise UserError("; ".join(problems))


def flags(parsed: argparse.Namespace) -> list[str]:
    """Beam's flags for what was asked."""
    return [*_engine(parsed), *_workers(parsed)]


def settings(conf: Sequence[str]) -> dict[str, str]:
    """Spark's settings: what a long job needs, and what the user wants, which comes first.

    Java's options are both's.
    """
    wanted = dict(one.split("=", 1) for one in conf)
    options = " ".join(filter(None, [_SURVIVE[_JAVA_OPTIONS], wanted.get(_JAVA_OPTIONS)]))
    return {**_SURVIVE, **wanted, _JAVA_OPTIONS: options}


def _engine(parsed: argparse.Namespace) -> list[str]:
    if parsed.job_server:
        return ["--runner=PortableRunner", f"--job_endpoint={parsed.job_server}"]
    jar = [f"--spark_job_server_jar={parsed.job_server_jar}"] if parsed.job_server_jar else []
    properties = [f"-D{name}={value}" for name, value in settings(parsed.conf).items()]
    java = [f"--job_server_jvm_property={one}" for one in [*ADD_OPENS, *properties]]
    return ["--runner=SparkRunner", f"--spark_master_url={parsed.spark_master}", *jar, *java]


def _workers(parsed: argparse.Namespace) -> list[str]:
    kind, config = "PROCESS", json.dumps({"command": parsed.worker})
    if parsed.worker_image:
        kind, config = "DOCKER", parsed.worker_image
    return [
        f"--environment_type={kind}",
        f"--environment_config={config}",
        f"--environment_cache_millis={KEEP_WORKERS_MS}",
    ]


def _problems_of_workers(parsed: argparse.Namespace) -> Iterator[str]:
    if not parsed.worker_image and not Path(parsed.worker).is_file():
        yield (
            f"{parsed.worker}: no such program; --worker is where captioner-worker is installed, "
            "on this machine and on every one of the cluster"
        )
    for one in parsed.conf:
        if "=" not in one:
            yield f"--conf {one}: is not NAME=VALUE"


def _problems_of_cluster(parsed: argparse.Namespace) -> Iterator[str]:
    if not parsed.job_server:
        if shutil.which("java") is None:
            yield "Java is needed, 17 or 11, as Spark's driver runs here; or name a --job-server"
        if parsed.job_server_jar and not Path(parsed.job_server_jar).is_file():
            yield f"{parsed.job_server_jar}: no such jar"
    url = f"//{parsed.job_server}" if parsed.job_server else parsed.spark_master
    if url.startswith(("//", "spark://")) and not _answers(url.split(",")[0]):
        yield f"{url.removeprefix('//')}: nothing answers there"


def _answers(url: str) -> bool:
    place = urllib.parse.urlsplit(url)
    try:
        with socket.create_connection((place.hostname, place.port), timeout=10):
            return True
    except (OSError, ValueError, TypeError):
        return False


def parser() -> argparse.ArgumentParser:
    """What parses the script's own arguments; the others are the command's, or Beam's."""
    parser = Parser(prog="run_spark.sh", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("verb", choices=("extract", "caption"))
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--spark-master", metavar="URL", help="spark://HOST:7077, or local[2]")
    where.add_argument(
        "--job-server", metavar="HOST:PORT", help="Beam's, that runs already; it has its own --conf"
    )
    parser.add_argument(
        "--job-server-jar", metavar="JAR", help="Beam's; downloaded by Beam if it isn't given"
    )
    parser.add_argument(
        "--worker",
        metavar="PROGRAM",
        default=str(Path(sys.executable).parent / "captioner-worker"),
        help="captioner-worker, at the same place on every machine (default: %(default)s)",
    )
    parser.add_argument(
        "--worker-image", metavar="IMAGE", help="workers in containers instead, by Docker"
    )
    parser.add_argument(
        "--conf", action="append", default=[], metavar="NAME=VALUE", help="of Spark; repeatable"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
