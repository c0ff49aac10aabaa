#!/usr/bin/env bash
# Lets Cloud Scheduler launch the flex template every night at 2:15, as launch.json beside this says. Edit that first.
# Run it again after a change: what is there is updated.
#
#     deploy/schedules/cloud_scheduler.sh PROJECT REGION SERVICE_ACCOUNT
#
# SERVICE_ACCOUNT, an address, launches the job: it needs roles/dataflow.developer, and roles/iam.serviceAccountUser on
# the account that launch.json lets the workers run as.
#
# Overlap: none. The job always has the name in launch.json, and Dataflow refuses a second one of a name while the first runs.
# Again: the same launch does what is missing. Scheduler tries three times more where the call fails, which the name makes safe too.
# Alert: Scheduler only launches. How the job ended is told by Cloud Monitoring, see docs/schedules.md.
set -euo pipefail
if [ $# -ne 3 ]; then
    echo "error: give PROJECT REGION SERVICE_ACCOUNT (see the head of $0)" >&2
    exit 2
fi
project="$1" region="$2" account="$3" name=captioner-nightly
body="$(dirname "$0")/launch.json"
where=("--project=$project" "--location=$region")

verb=create headers=--headers
if gcloud scheduler jobs describe "$name" "${where[@]}" > /dev/null 2>&1; then
    verb=update headers=--update-headers
fi
gcloud scheduler jobs "$verb" http "$name" "${where[@]}" \
    --schedule="15 2 * * *" --time-zone=Etc/UTC \
    --uri="https://dataflow.googleapis.com/v1b3/projects/$project/locations/$region/flexTemplates:launch" \
    --http-method=post --message-body-from-file="$body" "$headers=Content-Type=application/json" \
    --oauth-service-account-email="$account" \
    --oauth-token-scope=https://www.googleapis.com/auth/cloud-platform \
    --max-retry-attempts=3 --min-backoff=60s
