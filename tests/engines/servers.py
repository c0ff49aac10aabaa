"""Real engines, started on this machine: Prism, Spark in one process, a Spark cluster, Flink."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pipelines import spark
from tests.conftest import ENGINES, free_port, wait_for, wait_until

ROOT = Path(__file__).parents[2]

# Spark takes its first address that isn't loopback, which on a test machine may lead nowhere.
_LOCAL = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"}
_SPARK_HERE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.default.parallelism": "4",
}


@dataclasses.dataclass(frozen=True)
class Engine:
    """How the command is run on an engine.

    Args:
        name: its name here.
        flags: for the command.
        program: the command itself.
    """

    name: str
    flags: tuple[str, ...] = ()
    program: tuple[str, ...] = (sys.executable, "-m", "captioner")

    def run(self, *arguments: object, status: int = 0) -> str:
        """Run the command to its end; what it said.

        Args:
            status: the exit status there must be.
        """
        command = [*self.program, *map(str, arguments), *self.flags]
        ended = subprocess.run(command, cwd=ROOT, env=_LOCAL, capture_output=True, text=True)
        assert ended.returncode == status, ended.stderr[-8000:]
        return ended.stdout + ended.stderr


def needs(*paths: str) -> list[str]:
    """What was installed below the engines' directory; skips the test where it was not."""
    for path in paths:
        if not (ENGINES / path).exists():
            pytest.skip(f"no {path} in {ENGINES}; ./run_tests.sh --engines installs it")
    return [str(ENGINES / path) for path in paths]


@contextlib.contextmanager
def process(command: Sequence[str], log: Path, **variables: str) -> Iterator[subprocess.Popen]:
    """A program in the background, which ends with the block; what it says is in `log`."""
    with open(log, "ab") as file:
        started = subprocess.Popen(command, stdout=file, stderr=file, env={**_LOCAL, **variables})
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()


def prism(name: str = "prism", *flags: str) -> Engine:
    """Beam's own portable engine; the command starts it, and has the worker in itself."""
    (binary,) = needs("bin/prism")
    return Engine(name, ("--runner=PrismRunner", f"--prism_location={binary}", *flags))


def prism_with_process() -> Engine:
    """The same with a worker of its own."""
    config = json.dumps({"command": str(Path(sys.executable).parent / "captioner-worker")})
    process = ("--environment_type=PROCESS", f"--environment_config={config}")
    return prism("prism_with_process", *process)


@contextlib.contextmanager
def worker_pool(directory: Path) -> Iterator[str]:
    """What starts workers when an engine asks for one; its address."""
    port = free_port()
    module = "apache_beam.runners.worker.worker_pool_main"
    # It calls for a `python`: this one.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", module, f"--service_port={port}"]
    with process(command, directory / "pool.log", PATH=path, PYTHONPATH=str(ROOT)) as started:
        wait_for(port, started)
        yield f"localhost:{port}"


@contextlib.contextmanager
def job_server(
    directory: Path, pool: str, name: str, master: Sequence[str], properties: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """A job server of Beam's that takes one job after the other; the flags to use it.

    Args:
        pool: address of a `worker_pool`.
        name: of the engine.
        master: the server's arguments that say where it runs its jobs.
        properties: of its Java.
    """
    (jar,) = needs(f"{name}/job-server.jar")
    port = free_port()
    ports = [f"--job-port={port}", f"--artifact-port={free_port()}", "--expansion-port=-1"]
    artifacts = f"--artifacts-dir={directory / name}"
    place = ["--job-host=127.0.0.1", *ports, artifacts]
    java = ["java", "-Xmx1g", *spark.ADD_OPENS, *properties, "-jar", jar]
    with process([*java, *master, *place], directory / f"{name}.log") as started:
        wait_for(port, started)
        yield (
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{port}",
            "--environment_type=EXTERNAL",
            f"--environment_config={pool}",
            f"--environment_cache_millis={spark.KEEP_WORKERS_MS}",
        )


@contextlib.contextmanager
def local_spark(directory: Path, pool: str) -> Iterator[Engine]:
    """Spark in its driver's process."""
    properties = [f"-D{name}={value}" for name, value in _SPARK_HERE.items()]
    master = ["--spark-master-url=local[2,4]"]
    with job_server(directory, pool, "spark", master, properties) as flags:
        yield Engine("spark", flags)


@contextlib.contextmanager
def flink(directory: Path, pool: str) -> Iterator[Engine]:
    """Flink in one process."""
    with job_server(directory, pool, "flink", ["--flink-master=[local]"], []) as flags:
        yield Engine("flink", (*flags, "--parallelism=2"))


@contextlib.contextmanager
def standalone(directory: Path) -> Iterator[Engine]:
    """A Spark cluster of a master and two workers, to which ``run_spark.sh`` submits."""
    home, jar, guava, access = needs(
        "standalone/pyspark",
        "spark/job-server.jar",
        "spark/lib/guava-33.3.1-android.jar",
        "spark/lib/failureaccess-1.0.2.jar",
    )
    port = free_port()
    with contextlib.ExitStack() as stack:
        for name, arguments in _cluster(directory, port):
            program = [f"{home}/bin/spark-class", f"org.apache.spark.deploy.{name}", *arguments]
            log = directory / "cluster.log"
            started = stack.enter_context(process(program, log, SPARK_HOME=home))
            wait_for(port, started)
        wait_until(lambda: _logged(directory).count("Registering worker") == 2)
        # Spark's own old guava would fail a task of each executor, and exclude it by that.
        conf = {**_SPARK_HERE, "spark.executor.extraClassPath": f"{guava}:{access}"}
        conf["spark.executor.memory"] = "512m"
        flags = [f"--conf={name}={value}" for name, value in conf.items()]
        where = (f"--spark-master=spark://127.0.0.1:{port}", f"--job-server-jar={jar}")
        yield Engine("standalone", (*where, *flags), (str(ROOT / "run_spark.sh"),))


def _cluster(directory: Path, port: int) -> Iterator[tuple[str, list[str]]]:
    here = ["--host", "127.0.0.1", "--webui-port", "0"]
    yield "master.Master", [*here, "--port", str(port)]
    for number in range(2):
        own = ["--cores", "1", "--memory", "1g", "--work-dir", f"{directory}/worker-{number}"]
        yield "worker.Worker", [*here, *own, f"spark://127.0.0.1:{port}"]


def _logged(directory: Path) -> str:
    return (directory / "cluster.log").read_text(errors="replace")
