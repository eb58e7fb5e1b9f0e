"""Networks built from archs, created by name, kept as model folders, with timm's interface."""

ENTRY = "nas_net"  # what timm's registry calls our networks
CONFIG, WEIGHTS, ARCH, CARD = "config.json", "model.safetensors", "arch.json", "README.md"  # of a model folder
