"""Which operators of a table's whole networks its runtime computed otherwise than asked."""

from __future__ import annotations

from collections.abc import Sequence

from nas.latency.device import Device
from nas.latency.placement import Placement
from nas.latency.runtimes import runtime_named
from nas.networks.network import build_network
from search_spaces.arch import Arch

MOST = 8  # networks that are looked at


def fallen_back(archs: Sequence[Arch], device: Device) -> Placement | None:
    """The sum over up to `MOST` of `archs`; None where the runtime of `device` has nothing to fall back to."""
    found: Placement | None = None
    for arch in archs[:MOST]:
        one = placement_of(arch, device)
        if not one.operators:
            return None
        found = one if found is None else found + one
    return found


def placement_of(arch: Arch, device: Device) -> Placement:
    """Where the operators of `arch` run on this machine; loads it."""
    shape = (device.batch_size, *arch.input_shape)
    return runtime_named(device.runtime).placement(build_network(arch), shape, device)
