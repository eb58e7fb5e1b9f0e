"""From a space, a device and a budget to a trained network."""
