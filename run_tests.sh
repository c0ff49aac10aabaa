#!/usr/bin/env bash
# All the tests that need nothing but this machine.
#
#     ./run_tests.sh            the fast ones: some minutes on two cores, no network
#     ./run_tests.sh --slow     those that take longer too, among them the whole job and, where they are, real photos
#     ./run_tests.sh ARGUMENT…  any other arguments go to pytest
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh test

arguments=()
for argument in "$@"; do
    if [ "$argument" = --slow ]; then arguments+=(-m "slow or not slow"); else arguments+=("$argument"); fi
done
if [ $# -eq 0 ] || [ "$1" = --slow ]; then
    ruff check .
    ruff format --check .
fi
exec python -m pytest ${arguments[@]+"${arguments[@]}"}
