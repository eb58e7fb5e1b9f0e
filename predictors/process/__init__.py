"""The structured Gaussian process: its settings and its model."""

from predictors.process.predictor import StructuredProcess

__all__ = ["StructuredProcess"]
