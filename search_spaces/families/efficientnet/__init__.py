"""EfficientNets: the published networks."""
