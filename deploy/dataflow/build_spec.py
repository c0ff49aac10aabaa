"""Prints the file that a flex template is: an image, and what may be asked of it.

    python deploy/dataflow/build_spec.py caption IMAGE > captioner-caption.json

It is what `gcloud dataflow flex-template build` writes, given caption.json as its --metadata-file.
With an accelerator, for an image that has CUDA's libraries, a job has to name one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def spec(job: str, image: str, accelerator: str | None = None) -> dict[str, Any]:
    """The template, as Dataflow's ``ContainerSpec``.

    Args:
        job: "extract" or "caption".
        image: with the tag or digest that it was pushed under.
        accelerator: the type of GPU that is proposed.
    """
    metadata = json.loads((_HERE / f"{job}.json").read_text())
    if accelerator:
        metadata["name"] += " with GPUs"
        (asked,) = [one for one in metadata["parameters"] if one["name"] == "accelerator"]
        del asked["isOptional"]
        asked["defaultValue"] = accelerator
    return {"image": image, "metadata": metadata, "sdkInfo": {"language": "PYTHON"}}


def _main() -> None:
    parser = argparse.ArgumentParser(description="Print the file of a flex template.")
    parser.add_argument("job", choices=("extract", "caption"))
    parser.add_argument("image", help="with the tag or digest that it was pushed under")
    parser.add_argument("--accelerator", metavar="TYPE", help="of the GPUs, such as nvidia-l4")
    print(json.dumps(spec(**vars(parser.parse_args())), indent=4, sort_keys=True))


if __name__ == "__main__":
    _main()
