"""What `run_spark.sh` checks, and what it asks of Beam and Spark."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from captioner import cli
from pipelines import options, spark


@pytest.fixture
def master() -> Iterator[str]:
    """What listens where a cluster's master would."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"spark://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def run(monkeypatch, capsys) -> Iterator:
    """Runs it with the command itself left out: the status, what was said, what would be run."""
    commands: list[list[str]] = []
    monkeypatch.setattr(cli, "main", lambda arguments: commands.append(arguments) or 0)

    def run(*arguments: str) -> tuple[int, str, list[list[str]]]:
        return spark.main(arguments), capsys.readouterr().err, commands

    return run


def test_all_that_is_wrong_is_said_at_once(run, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"spark://127.0.0.1:{closed.getsockname()[1]}"
        wrong = ("--worker", f"{tmp_path}/worker", "--job-server-jar", f"{tmp_path}/a.jar")
        status, said, commands = run("caption", "--spark-master", url, *wrong, "--conf", "cores")
    assert status == 2 and not commands
    for problem in (
        f"{tmp_path}/worker: no such program",
        f"{tmp_path}/a.jar: no such jar",
        "--conf cores: is not NAME=VALUE",
        f"{url}: nothing answers",
    ):
        assert problem in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [(), ("caption",), ("train", "--spark-master", "local[2]"), ("caption", "--job")]
)
def test_what_makes_no_sense_is_refused_in_a_line(run, arguments: tuple[str, ...]) -> None:
    status, said, commands = run(*arguments)
    assert status == 2 and not commands
    assert said.startswith("error: ") and said.count("\n") == 1


def test_a_cluster_gets_its_settings_and_the_command_its_flags(run, master: str) -> None:
    conf = ("--conf", "spark.task.maxFailures=3", "--conf", "spark.executor.memory=4g")
    conf += ("--conf", "spark.executor.extraJavaOptions=-Xss4m")
    asked = ("caption", "--spark-master", master, "--worker", sys.executable, *conf)
    status, said, (command,) = run(*asked, "--input", "in", "--runner_flag=1")
    assert (status, said) == (0, "")
    assert command[:4] == ["caption", "--input", "in", "--runner_flag=1"]
    chosen = options.parse(command[4:]).get_all_options()
    assert chosen["runner"] == "SparkRunner" and chosen["spark_master_url"] == master
    assert chosen["environment_type"] == "PROCESS"
    assert json.loads(chosen["environment_config"]) == {"command": sys.executable}
    assert int(chosen["environment_cache_millis"]) > 0
    java = chosen["job_server_jvm_properties"]
    assert "-Dspark.excludeOnFailure.enabled=true" in java
    assert "-Dspark.executor.memory=4g" in java
    assert [one for one in java if "maxFailures" in one] == ["-Dspark.task.maxFailures=3"]
    assert "--add-opens=java.base/java.nio=ALL-UNNAMED" in java
    options_of_java = [one for one in java if "extraJavaOptions" in one]
    assert len(options_of_java) == 1 and options_of_java[0].endswith("=ALL-UNNAMED -Xss4m")


def test_a_job_server_that_runs_already_has_its_own_settings(run, master: str) -> None:
    address = master.removeprefix("spark://")
    _, _, (command,) = run("extract", "--job-server", address, "--worker-image", "captioner:1")
    chosen = options.parse(command[1:]).get_all_options()
    assert chosen["runner"] == "PortableRunner" and chosen["job_endpoint"] == address
    assert (chosen["environment_type"], chosen["environment_config"]) == ("DOCKER", "captioner:1")
    assert chosen["job_server_jvm_properties"] == []
