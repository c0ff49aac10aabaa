#!/usr/bin/env bash
# Installs what tests/deploy/ checks deploy/ with below .engines/airflow (or $CAPTIONER_ENGINES/airflow): Airflow with its
# Google provider, the schemas of Kubernetes, and shellcheck. Their dependencies clash with ours: an environment of its own.
# Takes 1.8 GB; says nothing and takes no time where it has been done already.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
environment="${CAPTIONER_ENGINES:-$root/.engines}/airflow"
requirements="$root/tests/deploy/requirements-airflow.txt"
cmp -s "$requirements" "$environment/installed.txt" && exit
echo "installing Airflow into $environment (once)" >&2
"${PYTHON:-python3.11}" -m venv --clear "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements"
"$environment/bin/python" -m pip check --disable-pip-version-check >&2
cp "$requirements" "$environment/installed.txt"
