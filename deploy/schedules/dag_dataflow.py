"""Every night: captions for the images that are new, by the flex template on Dataflow.

Overlap: none, a run waits for the one before it, and Dataflow refuses a second job of the name in
launch.json while the first runs, whoever launched it.
Again: the same launch does what is missing.
Alert: as in `dag_nightly`. Dataflow says of a job only that it failed, not with which status: too
many failures are tried again like anything else, and its log and `failures/` say what it was.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.sdk import DAG, Param
from captioner_airflow import CaptionerOperator, alert

LAUNCH = json.loads(Path(__file__).with_name("launch.json").read_text())
OUTPUT = LAUNCH["launchParameter"]["parameters"]["output"]

with DAG(
    "captioner_dataflow",
    schedule="15 2 * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "project": Param("my-project", type="string"),
        "region": Param("us-central1", type="string"),
    },
    default_args={
        "retries": 2,
        "retry_delay": datetime.timedelta(minutes=30),
        "on_failure_callback": alert,
    },
    doc_md=__doc__,
):
    caption = DataflowStartFlexTemplateOperator(
        task_id="caption",
        body=LAUNCH,
        project_id="{{ params.project }}",
        location="{{ params.region }}",
        append_job_name=False,  # with a name of its own each time, Dataflow would refuse none
        wait_until_finished=True,
        poll_sleep=60,
    )
    verify = CaptionerOperator(
        task_id="verify",
        settings={"OUTPUT": OUTPUT},
        command='"$CAPTIONER" verify "$OUTPUT"',
    )
    caption >> verify
