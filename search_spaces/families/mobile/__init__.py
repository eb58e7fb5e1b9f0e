"""The space we recommend: stages of free width and depth, dense or depthwise; hand-made mobile networks are points."""
