"""MobileNetV2: its published networks and two search spaces around them."""
