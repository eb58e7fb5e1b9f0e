"""Time and memory of one training step: supernet modes, a plain loop over nine modules, and a plain FBNet-C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unittest import mock

import torch
from torch import Tensor, nn

from experiments.benchmarks.stepping import Step, bench, training_step
from nas.methods.supernets.mixture import Supernet, mix
from nas.methods.supernets.paths import draw_path, initial_theta
from nas.networks.network import Network
from search_spaces.families import fbnet

BATCH = {32: 32, 224: 8}
CLASSES = 100


def plain_sum(x: Tensor, candidates: nn.ModuleList, plan: object, active: Sequence[int], weights: Tensor) -> Tensor:
    """The mixture as public implementations write it."""
    total: Tensor = sum(weights[i] * candidates[k](x) for i, k in enumerate(active))  # type: ignore[assignment]
    return total


def variants(resolution: int, device: torch.device) -> dict[str, Callable[[], Step]]:
    """Makers of step functions: each call runs forward and backward of the weights and returns the loss."""
    space = fbnet.fbnet(resolution, CLASSES)
    theta = initial_theta([len(position.candidates) for position in space.positions])
    noise = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH[resolution], 3, resolution, resolution, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(BATCH[resolution]).remainder(CLASSES).to(device)

    def supernet(
        mode: str, fused: bool | None = None, channels_last: bool = True, as_published: bool = False
    ) -> Callable[[], Step]:
        def make() -> Step:
            torch.manual_seed(0)
            layout = torch.channels_last if channels_last else torch.contiguous_format
            module = Supernet(space, fused=fused).to(device).to(memory_format=layout)
            x = images.to(device, memory_format=layout)

            def forward() -> Tensor:
                path, _ = draw_path(theta, 5.0, mode, noise, differentiable=False)
                with mock.patch("nas.methods.supernets.mixture.mix", plain_sum if as_published else mix):
                    return module(x, path.to(device))

            return training_step(module, forward, labels)

        return make

    def plain() -> Step:
        torch.manual_seed(0)
        names = fbnet.PUBLISHED["fbnetc_100"].blocks.split()
        arch = space.decode([fbnet.CANDIDATES.index(n) for n in names])
        module = Network(arch).to(device).to(memory_format=torch.channels_last)
        x = images.to(device, memory_format=torch.channels_last)
        return training_step(module, lambda: module(x), labels)

    return {
        "fbnet_c": plain,
        "soft": supernet("soft"),
        "soft_the_other_form": supernet("soft", fused=device.type != "cuda"),
        "top2": supernet("top2"),
        "hard": supernet("hard"),
        "plain_loop": supernet("soft", fused=False, channels_last=False, as_published=True),
        "plain_loop_channels_last": supernet("soft", fused=False, as_published=True),
    }


def mac_ratios(resolution: int) -> dict[str, float]:
    """Multiply-adds of each variant over those of FBNet-C; hard and top2 on average over uniform paths."""
    space = fbnet.fbnet(resolution, CLASSES)
    macs = space.count("macs")
    fixed, rows = macs.fixed, macs.rows
    names = fbnet.PUBLISHED["fbnetc_100"].blocks.split()
    plain = space.decode([fbnet.CANDIDATES.index(n) for n in names]).macs
    everything = (fixed + sum(row.sum() for row in rows)) / plain
    one = sum(row.mean() for row in rows)
    return {
        "fbnet_c": 1.0,
        "soft": everything,
        "soft_the_other_form": everything,
        "top2": (fixed + 2 * one) / plain,
        "hard": (fixed + one) / plain,
        "plain_loop": everything,
        "plain_loop_channels_last": everything,
    }


if __name__ == "__main__":
    bench(
        "experiments.benchmarks.supernet_step.run",
        __doc__,
        variants,
        BATCH,
        sampled=("hard", "top2"),
        mac_ratios=mac_ratios,
    )
