"""What the two DAGs share: an operator that reads the command's exit status, and the alert."""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

TOO_MANY_FAILURES = 3
# Exit statuses that trying again does not mend.
FINAL = {
    2: "a mistake that people must mend: the last line of the log says what",
    4: "verify found an output that is not whole: the log says what to do of each problem",
}


class CaptionerOperator(BashOperator):
    """Runs `captioner`; a status that trying again does not mend fails the task at once.

    So do 2 and 4. 3 (done, and too many images failed) is a success whose captions are in place: it
    is for a later task to say. All other statuses are tried again. The task's value is the status.

    Args:
        command: of bash, with `$CAPTIONER` for the command `captioner`.
        settings: environment variables, which may be templates.
    """

    def __init__(self, *, command: str, settings: dict[str, str], **kwargs: Any) -> None:
        captioner = os.environ.get("CAPTIONER", "captioner")
        env = {"CAPTIONER": captioner, **settings}
        super().__init__(bash_command=command, env=env, append_env=True, **kwargs)

    def execute(self, context: dict[str, Any]) -> int:
        """Run it.

        Raises:
            AirflowFailException: trying again is no use.
            AirflowException: it may be.
        """
        command = ["bash", "-c", self.bash_command]
        status = self.subprocess_hook.run_command(command, env=self.get_env(context)).exit_code
        if status in FINAL:
            raise AirflowFailException(f"exit status {status}, {FINAL[status]}")
        if status not in (0, TOO_MANY_FAILURES):
            raise AirflowException(f"exit status {status}")
        return status


def alert(context: dict[str, Any]) -> None:
    """Say that a task has failed for good: in the log, and to `CAPTIONER_ALERT_URL`.

    What goes there is `{"text": ...}`, as the incoming webhooks of Slack and Google Chat take it.
    """
    instance, reason = context["task_instance"], context.get("exception")
    text = f"{instance.dag_id}, {instance.task_id}, {context['run_id']}: {reason}"
    logging.getLogger(__name__).error(text)
    if url := os.environ.get("CAPTIONER_ALERT_URL"):
        data = json.dumps({"text": text}).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=30).close()
