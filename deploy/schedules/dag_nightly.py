"""Every night: captions for the images that are new, by `captioner` on an Airflow worker.

    retrain_today ─▶ extract ─▶ train ─▶ caption ─▶ verify ─▶ check_failures

Overlap: none, a run waits for the one before it (`max_active_runs=1`).
Again: each command does what is missing, so any task may be tried again or cleared.
Alert: a task that fails for good says so, see `captioner_airflow.alert`, and so does its run.

Retraining is off until `retrain_on` names a day, since a new model captions all images anew. That
day goes on as any other where there is nothing new to learn from: the model stays as it is. It is
no DAG of its own, as a model must not be replaced while it is being used.
"""

from __future__ import annotations

import datetime
from typing import Any

from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowFailException
from captioner_airflow import TOO_MANY_FAILURES, CaptionerOperator, alert

DAYS = ["never", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
PARAMS = {
    "input": Param("gs://my-bucket/photos", type="string"),
    "model": Param("gs://my-bucket/model", type="string"),
    "output": Param("gs://my-bucket/captions", type="string"),
    "max_failures": Param("5%", type="string", pattern=r"^\d+(\.\d+)?%?$"),
    "retrain_on": Param("never", enum=DAYS),
    "training_images": Param("gs://my-bucket/training/photos", type="string"),
    "training_captions": Param("gs://my-bucket/training/captions.csv", type="string"),
    "features": Param("gs://my-bucket/training/features", type="string"),
}
# As variables of the environment, so that no value is read by a shell as part of a command.
SETTINGS = {name.upper(): f"{{{{ params.{name} }}}}" for name in PARAMS}

with DAG(
    "captioner_nightly",
    schedule="15 2 * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args={
        "retries": 3,
        "retry_delay": datetime.timedelta(minutes=10),
        "retry_exponential_backoff": True,
        "on_failure_callback": alert,
    },
    doc_md=__doc__,
):

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def retrain_today(params: dict[str, Any], dag_run: Any) -> bool:
        """Whether the run's day is the one of retraining."""
        return f"{dag_run.run_after:%A}" == params["retrain_on"]

    @task(retries=0)
    def check_failures(status: int) -> None:
        """Fail where too many images did."""
        if status == TOO_MANY_FAILURES:
            raise AirflowFailException(
                "more images failed than max_failures allows: the last line of caption's log "
                "counts the reasons, failures/ in the output names the images"
            )

    extract = CaptionerOperator(
        task_id="extract",
        settings=SETTINGS,
        command='"$CAPTIONER" extract --input "$TRAINING_IMAGES" --captions "$TRAINING_CAPTIONS" '
        '--output "$FEATURES"',
    )
    train = CaptionerOperator(
        task_id="train",
        settings=SETTINGS,
        command='"$CAPTIONER" train --features "$FEATURES" --output "$MODEL"',
    )
    caption = CaptionerOperator(
        task_id="caption",
        settings=SETTINGS,
        trigger_rule="none_failed",  # retraining that is skipped is none that failed
        command='"$CAPTIONER" caption --input "$INPUT" --model "$MODEL" --output "$OUTPUT" '
        '--max-failures "$MAX_FAILURES"',
    )
    verify = CaptionerOperator(
        task_id="verify", settings=SETTINGS, command='"$CAPTIONER" verify "$OUTPUT"'
    )
    retrain_today() >> extract >> train >> caption >> verify >> check_failures(caption.output)
