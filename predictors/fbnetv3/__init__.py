"""FBNetV3's predictor: its settings, the encoder that learns from free statistics, the networks."""

from predictors.fbnetv3.predictor import FBNetV3

__all__ = ["FBNetV3"]
