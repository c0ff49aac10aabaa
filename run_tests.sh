#!/usr/bin/env bash
# The tests.
#
#     ./run_tests.sh                     the fast ones: a quarter to half an hour on two cores, no network
#     ./run_tests.sh --slow              those that take longer, among them the whole job and, where they are, real photos
#     ./run_tests.sh --engines [NAME…]   those on real engines and servers, which are installed first: see scripts/engines.sh
#     ./run_tests.sh ARGUMENT…           any other arguments go to pytest
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh test

case "${1:-}" in
    --engines)
        shift
        scripts/engines.sh "$@"
        exec python -m pytest -m engines
        ;;
    --slow) exec python -m pytest --durations 20 -m "slow and not engines" ;;
    "")
        ruff check .
        ruff format --check .
        # A file's tests stay together, as they share what they made.
        exec python -m pytest --numprocesses 2 --dist loadfile --durations 20
        ;;
    *) exec python -m pytest "$@" ;;
esac
