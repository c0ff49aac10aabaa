#!/usr/bin/env bash
# `captioner extract` or `captioner caption` on a Spark 3 cluster.
#
#     ./run_spark.sh caption --spark-master spark://HOST:7077 --input DIR --model MODEL --output OUT
#     ./run_spark.sh extract --job-server HOST:8099 --input DIR --output OUT …
#
# See docs/engines.md, and ./run_spark.sh --help for all it takes.
set -euo pipefail
source "$(dirname "$0")/scripts/environment.sh"
exec python -m pipelines.spark "$@"
