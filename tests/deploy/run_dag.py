"""Loads the DAGs and runs one of them, in Airflow's own environment; prints JSON.

python run_dag.py                      the DAGs there are, what could not be loaded, and their tasks
python run_dag.py DAG_ID CONFIGURATION states of the tasks after a run with these params (JSON)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import BundleDagBag

DAGS = Path(__file__).parents[2] / "deploy" / "schedules"


def describe(bag: BundleDagBag) -> dict[str, Any]:
    """What was loaded."""
    tasks = {
        name: {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
        for name, dag in bag.dags.items()
    }
    return {
        "errors": bag.import_errors,
        "tasks": tasks,
        "overlap": {name: dag.max_active_runs for name, dag in bag.dags.items()},
        "bodies": [
            task.body
            for dag in bag.dags.values()
            for task in dag.tasks
            if hasattr(task, "append_job_name") and not task.append_job_name
        ],
    }


def run(bag: BundleDagBag, name: str, configuration: dict[str, str]) -> dict[str, str]:
    """The states of a run's tasks; a task that waits to be tried again is not waited for."""
    dag = bag.dags[name]
    for task in dag.tasks:
        task.retry_delay = 0 * task.retry_delay
        task.retry_exponential_backoff = 0
    ended = dag.test(run_conf=configuration)
    return {instance.task_id: str(instance.state) for instance in ended.get_task_instances()}


def main() -> None:
    """Print what was asked for."""
    bag = BundleDagBag(DAGS, bundle_path=DAGS, bundle_name="deploy")
    asked = sys.argv[1:]
    answer = run(bag, asked[0], json.loads(asked[1])) if asked else describe(bag)
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    main()
