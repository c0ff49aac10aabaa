#!/usr/bin/env bash
# Installs the engines and servers that tests/engines/ runs on, below .engines/ (or $CAPTIONER_ENGINES).
# What is there already is left alone.
#
#     scripts/engines.sh [prism] [gcs] [spark] [standalone] [flink] [airflow]      by default all of them
#
#     prism        Beam's own engine, and its boot, which starts workers as processes     (needs Go)
#     gcs          a local Google Cloud Storage                                           (needs Go)
#     spark        Beam's job server for Spark, which has Spark in it                     (needs Java and Maven)
#     standalone   Spark's own programs: a master and workers                             (needs Java)
#     flink        Beam's job server for Flink, which has Flink in it                     (needs Java and Maven)
#     airflow      Airflow, Kubernetes' schemas and shellcheck, for tests/deploy/
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
engines="${CAPTIONER_ENGINES:-$root/.engines}"
mkdir -p "$engines/bin"

go_install() { # PACKAGE NAME: a Go program, under a name of ours
    [ -x "$engines/bin/$2" ] && return
    echo "installing $2" >&2
    local made
    made="$(mktemp -d "$engines/go.XXXX")"
    GOBIN="$made" go install "$1"
    mv "$made"/* "$engines/bin/$2"
    rmdir "$made"
}

job_server() { # NAME CLASS: the jars of tests/engines/job_servers/NAME.xml, and one that starts them
    local directory="$engines/$1"
    [ -f "$directory/job-server.jar" ] && return
    echo "installing Beam's job server for $1" >&2
    mvn --quiet --batch-mode --file "$root/tests/engines/job_servers/$1.xml" dependency:copy-dependencies \
        -DoutputDirectory="$directory/lib" -DincludeScope=runtime
    # A line of a manifest has at most 72 bytes; the next goes on behind a blank.
    {
        echo "Main-Class: $2"
        (cd "$directory" && echo "Class-Path: $(echo lib/*.jar)") | fold -b -w 70 | sed '2,$s/^/ /'
    } > "$directory/manifest.txt"
    jar --create --file "$directory/job-server.jar" --manifest "$directory/manifest.txt"
}

standalone() {
    [ -d "$engines/standalone/pyspark" ] && return
    echo "installing Spark's own programs" >&2
    python3 -m pip install --quiet --disable-pip-version-check --target "$engines/standalone" pyspark==3.5.0
}

[ $# -gt 0 ] || set -- prism gcs spark standalone flink airflow
for name in "$@"; do
    case "$name" in
        prism)
            go_install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0 prism
            go_install github.com/apache/beam/sdks/v2/python/container@v2.77.0 boot
            ;;
        gcs) go_install github.com/fsouza/fake-gcs-server@v1.56.1 fake-gcs-server ;;
        spark) job_server spark org.apache.beam.runners.spark.SparkJobServerDriver ;;
        standalone) standalone ;;
        flink) job_server flink org.apache.beam.runners.flink.FlinkJobServerDriver ;;
        airflow) "$root/scripts/airflow.sh" ;;
        *) echo "error: no engine is called $name (see scripts/engines.sh)" >&2; exit 2 ;;
    esac
done
