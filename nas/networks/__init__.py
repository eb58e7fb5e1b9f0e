"""Networks built from archs, created by name, kept as model folders, with timm's interface."""

ENTRY = "nas_net"  # what timm's registry calls our networks
