"""What runs an encoder's network: Keras as it is, or OpenVINO, which a processor runs it faster by.

An engine is a function from a batch of pixels, uint8 [N, size, size, 3], to its features, float32.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from captioner.errors import UserError

ENGINES = ("auto", "tensorflow", "openvino")

Run = Callable[[np.ndarray], np.ndarray]

# Images a request: enough for a processor's matrix units, few enough to share a batch among cores.
IMAGES = 8


def choose(name: str) -> str:
    """The engine that "auto" stands for here: OpenVINO where it is installed and there is no GPU.

    Raises:
        UserError: there is no such engine, or it isn't installed.
    """
    if name not in ENGINES:
        raise UserError(f"no engine is called '{name}': {', '.join(ENGINES)}")
    # It reads TensorFlow's graphs: under another backend there are none.
    able = keras.backend.backend() == "tensorflow" and importlib.util.find_spec("openvino")
    if name == "openvino" and not able:
        raise UserError("OpenVINO is not here: pip install 'captioner[openvino]'")
    if name == "auto":
        return "openvino" if able and not tf.config.list_physical_devices("GPU") else "tensorflow"
    return name


def create(name: str, network: keras.Model, precision: str) -> Run:
    """An engine for a network.

    Args:
        name: of `ENGINES`.
        network: from uint8 pixels [N, size, size, 3] to float32 features.
        precision: "float32", or "bfloat16" where the engine and the processor have it.

    Raises:
        UserError: as of `choose`.
    """
    if choose(name) == "openvino":
        return OpenVino(network, precision)
    return lambda pixels: np.asarray(network.predict_on_batch(pixels), np.float32)


def best_precision(name: str) -> str:
    """What an engine computes fastest in on this machine's processor, "bfloat16" or "float32".

    Raises:
        UserError: as of `choose`.
    """
    if choose(name) != "openvino":
        return "float32"
    able = _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bfloat16" if "BF16" in able else "float32"


class OpenVino:
    """A Keras network compiled by OpenVINO for this processor.

    A batch is cut into requests that run side by side, a core each: convolutions of few images
    gain little from a second core.
    """

    def __init__(self, network: keras.Model, precision: str) -> None:
        self._queue = compiled(network, precision)
        self._queue.set_callback(_keep)
        self._lock = threading.Lock()

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Features of a batch of any size."""
        parts: list[Any] = [None] * -(-len(pixels) // IMAGES)
        missing = len(parts) * IMAGES - len(pixels)
        filling = [(0, missing), *[(0, 0)] * (pixels.ndim - 1)]
        filled = np.pad(pixels, filling, mode="edge") if missing else pixels  # no copy for nothing
        with self._lock:  # the queue waits for all there is in it
            for number in range(len(parts)):
                images = filled[number * IMAGES : (number + 1) * IMAGES]
                self._queue.start_async({0: images}, (parts, number))
            self._queue.wait_all()
        return np.concatenate(parts)[: len(pixels)]


def _keep(request: Any, place: tuple[list[Any], int]) -> None:
    parts, number = place
    parts[number] = request.get_output_tensor(0).data.copy()


def _openvino() -> Any:
    """The module, which would tell its makers of its use, unasked."""
    sys.modules.setdefault("openvino_telemetry", None)  # there is no such thing: it goes without
    import openvino

    return openvino


def compiled(network: keras.Model, precision: str) -> Any:
    """A queue of requests, an `openvino.AsyncInferQueue`, to a network that OpenVINO has compiled.

    Args:
        network: as of `create`. A request takes `IMAGES` of its inputs.
        precision: "float32" or "bfloat16".
    """
    openvino = _openvino()
    signature = tf.TensorSpec((IMAGES, *network.input.shape[1:]), tf.uint8)
    graph = tf.function(lambda pixels: network(pixels, training=False), [signature])
    found = openvino.convert_model(graph.get_concrete_function())
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    wishes = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "THROUGHPUT"}
    return openvino.AsyncInferQueue(openvino.Core().compile_model(found, "CPU", wishes))
