#!/usr/bin/env bash
# Extract or caption on Google Cloud Dataflow: docs/dataflow.md has it from the beginning.
#
#     ./run_dataflow.sh caption --project ID --region REGION --bucket gs://BUCKET --worker-image URI \
#         --input gs://… --model gs://… --output gs://…
#     ./run_dataflow.sh extract … --input gs://… --output gs://…
#
# It says everything that is missing or wrong before it submits, and waits for the job's end unless
# there is --no-wait. ./run_dataflow.sh --help has all options.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
source "$here/scripts/environment.sh"
exec python -W "ignore:You are using a Python version" -m pipelines.dataflow "$@"
