"""Captioner: what an image, a feature, a caption and a model are. Nothing here imports Beam."""

__version__ = "0.1.0"
