"""FBNet's searched networks against random and hand-made ones of equal latency, same recipe (see README.md)."""

from __future__ import annotations

from experiments import equal_latency
from nas.latency.device import Device
from nas.latency.measuring.measure import measure_arch_ms
from search_spaces import Arch, LayerwiseSpace
from search_spaces.families.fbnet import CANDIDATES, PUBLISHED, fbnet

WIDTHS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)


def space() -> LayerwiseSpace:
    return space_of(0.5)


def space_of(width: float) -> LayerwiseSpace:
    return fbnet(equal_latency.RESOLUTION, 10, 1, width=width)


def hand_made(device: Device, target_ms: float) -> dict[str, Arch]:
    """FBNet-C's blocks and MobileNetV2's (3x3, expansion 6 throughout) at the widest that keeps to `target_ms`."""
    blocks = {
        "FBNet-C blocks": [CANDIDATES.index(name) for name in PUBLISHED["fbnetc_100"].blocks.split()],
        "MobileNetV2 blocks": [CANDIDATES.index("k3_e6")] * 22,
    }
    found = {}
    for name, genotype in blocks.items():
        archs = {arch.id: (width, arch) for width in WIDTHS for arch in [space_of(width).decode(genotype)]}
        times = {key: measure_arch_ms(arch, device).median_ms for key, (_, arch) in archs.items()}
        width, arch = archs[min(times, key=lambda key: abs(times[key] - target_ms))]
        found[f"{name} x {width}"] = arch
    return found


LONGER = {  # than the card, which is made for two minutes
    **{"epochs": 15, "warmup_epochs": 5, "temperature_decay": 0.2, "temperature_floor": 0.1, "negligible": 0.0},
    **equal_latency.UNDECIDED,
}
SETTING = equal_latency.Setting(space, {"dnas": ("dnas", LONGER)}, hand_made, free=("dnas",))

if __name__ == "__main__":
    equal_latency.main(SETTING, __doc__, "runs/fbnet_vs_random")
