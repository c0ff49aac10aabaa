"""On what devices a training runs, and what each of them gets of a batch.

Every device holds the whole decoder, a *replica*, and takes its part of each batch. What the parts
give is added up before anything is made of it, so that one device and many, with the same batches,
learn the same: up to rounding, and up to dropout, which each replica draws for itself.

`create` knows these strategies:

===========  ===================================================================================
auto         ``tpu`` where there is one, ``multiworker`` where ``TF_CONFIG`` names more than one
             worker, ``mirrored`` where there are several GPUs, else ``one``
one          one device: the GPU if there is one, else the CPU
mirrored     all GPUs of this machine
multiworker  all GPUs (or the CPU) of each of several machines, the same command on each
tpu          all cores of the TPU of this machine (a TPU VM of one host)
===========  ===================================================================================

``multiworker`` reads ``TF_CONFIG``, which Vertex AI and Kubernetes' training operator set by
themselves::

    {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
     "task": {"type": "worker", "index": 0}}

Its processes find each other at these addresses, and wait until all are there. Each reads all the
features and makes the same batches, of which it takes its own rows. The *chief* (the task of that
type, else worker 0) alone writes the model and shows how training goes; the others need only be
able to read, and wait until it has written. If a worker dies, the others end with status 2 within
some seconds, and all have to be started again; training goes on from its checkpoint. Only SIGKILL
ends a worker that still waits for others.

``tpu`` takes the TPU that is attached to this machine. The command must run on the TPU VM itself,
since captions become tokens in Python, on the host; ``TPU_NAME=local`` is how such machines say
that they have one. The shapes of batches are few and fixed, one for each class of lengths, and the
tests compile a step for them as for a TPU; but no test has had one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from captioner.errors import UserError

TFConfigClusterResolver = tf.distribute.cluster_resolver.TFConfigClusterResolver
TPUClusterResolver = tf.distribute.cluster_resolver.TPUClusterResolver

STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")

# How TensorFlow tells one worker that another one is no longer there.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


@dataclasses.dataclass(frozen=True)
class Distribution:
    """The devices that train together, as seen by one of their processes.

    Args:
        name: one of `STRATEGIES`, but never auto.
        strategy: TensorFlow's.
        chief: whether this process is the one that writes.
        workers: how many processes there are.
    """

    name: str
    strategy: tf.distribute.Strategy
    chief: bool = True
    workers: int = 1

    @property
    def replicas(self) -> int:
        """How many devices there are, over all workers."""
        return self.strategy.num_replicas_in_sync

    def batches(self, batches: tf.data.Dataset, size: int) -> Any:
        """What each replica gets of each batch.

        Args:
            batches: as of `examples.Batches.of`; the same on each worker.
            size: examples in a full batch. Several replicas get equally many rows each, in every
                batch: rows of weight 0 fill what is missing.

        Returns:
            A dataset that may be iterated several times, of `batches`' elements with a fourth part:
            the whole batch's number of "words" and of "examples".
        """
        batches = batches.map(_with_totals)
        if self.name == "one":
            return batches
        rows = math.ceil(size / self.replicas)
        return self.strategy.distribute_datasets_from_function(
            lambda context: parts(batches, rows, context)
        )

    def agree(self, answer: bool) -> bool:
        """The chief's answer, on every worker. Each waits for all others."""
        if self.workers == 1:
            return answer

        def votes() -> tf.Tensor:
            vote = tf.constant(float(answer and self.chief))
            return tf.distribute.get_replica_context().all_reduce("SUM", vote)

        votes = self.strategy.experimental_local_results(self.strategy.run(tf.function(votes)))
        return bool(votes[0] > 0)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """For what the workers do together.

        Raises:
            UserError: another worker is no longer there.
        """
        try:
            yield
        except _LOST as error:
            if self.workers == 1:
                raise
            raise UserError(
                "another worker has ended before its time; see what it says, and start all of "
                "them again"
            ) from error


def create(name: str) -> Distribution:
    """The devices to train on. To be called before anything else is done with TensorFlow.

    Args:
        name: one of `STRATEGIES`.

    Raises:
        UserError: there is no such strategy, or not what it needs; or TF_CONFIG is wrong.
    """
    if name not in STRATEGIES:
        raise UserError(f"no strategy is called '{name}'; there are: {', '.join(STRATEGIES)}")
    name = _found() if name == "auto" else name
    if name == "tpu":
        return Distribution(name, _tpu())
    if name == "multiworker":
        return _multiworker()
    if name == "mirrored":
        return Distribution(name, tf.distribute.MirroredStrategy())
    return Distribution(name, tf.distribute.get_strategy())


def _found() -> str:
    if os.environ.get("TPU_NAME") == "local" or tf.config.list_physical_devices("TPU"):
        return "tpu"
    if len(_workers(_cluster())) > 1:
        return "multiworker"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one"


def _cluster() -> TFConfigClusterResolver:
    cluster = TFConfigClusterResolver()
    try:
        cluster.cluster_spec()
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG is no description of a cluster: {error}") from error
    return cluster


def _workers(cluster: TFConfigClusterResolver) -> list[str]:
    addresses = cluster.cluster_spec().as_dict()
    return [*addresses.get("chief", ()), *addresses.get("worker", ())]


def _multiworker() -> Distribution:
    cluster = _cluster()
    workers = _workers(cluster)
    if not workers:
        raise UserError(
            "--strategy multiworker needs TF_CONFIG: the addresses of all workers, and which of "
            "them this one is"
        )
    jobs, task = cluster.cluster_spec().as_dict(), (cluster.task_type, cluster.task_id)
    if task[0] not in ("chief", "worker") or task[1] not in range(len(jobs.get(task[0], ()))):
        raise UserError("TF_CONFIG: its task is neither the chief nor one of the workers")
    chief = task == ("chief" if "chief" in jobs else "worker", 0)
    with _ended_by_sigterm():
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster)
    return Distribution("multiworker", strategy, chief, len(workers))


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Workers otherwise note SIGTERM and go on, so that a cluster can only kill them."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _tpu() -> tf.distribute.Strategy:
    cluster = TPUClusterResolver("local")
    tf.config.experimental_connect_to_cluster(cluster)
    try:
        tf.tpu.experimental.initialize_tpu_system(cluster)
    except tf.errors.NotFoundError as error:
        raise UserError(
            "no TPU was found: on a TPU VM TensorFlow needs libtpu (pip install tensorflow-tpu)"
        ) from error
    return tf.distribute.TPUStrategy(cluster)


def _with_totals(inputs: Any, following: tf.Tensor, weights: tf.Tensor) -> tuple[Any, ...]:
    examples = tf.reduce_any(weights > 0, axis=(1, 2))
    totals = {
        "words": tf.reduce_sum(weights),
        "examples": tf.reduce_sum(tf.cast(examples, tf.float32)),
    }
    return inputs, following, weights, totals


def parts(
    batches: tf.data.Dataset, rows: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """What a worker's replicas get of each batch, one after another.

    Args:
        batches: of tuples whose last element is of scalars, which each replica gets as they are;
            all others are divided along their first axis.
        rows: of a replica's part.
        context: which worker it is.
    """
    replicas = context.num_replicas_in_sync
    count = replicas // context.num_input_pipelines
    mine = slice(context.input_pipeline_id * count, (context.input_pipeline_id + 1) * count)

    def part(values: tf.Tensor) -> tf.Tensor:
        """From [batch, ...] to [count, rows, ...]."""
        missing = replicas * rows - tf.shape(values)[0]
        values = tf.pad(values, [[0, missing], *[[0, 0]] * (values.shape.rank - 1)])
        shape = tf.concat([[replicas, rows], tf.shape(values)[1:]], axis=0)
        return tf.ensure_shape(tf.reshape(values, shape)[mine], (count, rows, *values.shape[1:]))

    def divided(*batch: Any) -> tuple[Any, ...]:
        *examples, totals = batch
        everyone = tf.nest.map_structure(lambda total: tf.repeat(total, count), totals)
        return *tf.nest.map_structure(part, examples), everyone

    return batches.map(divided).unbatch().prefetch(tf.data.AUTOTUNE)
