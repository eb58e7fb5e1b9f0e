"""Time and memory of one training step: superkernels, their largest plain net, and the soft supernet of that space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from experiments.benchmarks.stepping import Step, bench, training_step
from nas.methods.supernets.mixture import Supernet
from nas.methods.supernets.paths import draw_path, initial_theta
from nas.methods.supernets.superkernel import Superkernel
from nas.networks.network import Network
from search_spaces.families.single_path import single_path

BATCH = {32: 32, 224: 8}
CLASSES = 100


def variants(resolution: int, device: torch.device) -> dict[str, Callable[[], Step]]:
    """Makers of step functions: each call runs forward and backward, and returns the loss."""
    space = single_path(resolution, CLASSES)
    largest = [position.labels.index("k5_e6") for position in space.positions]
    noise = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH[resolution], 3, resolution, resolution, generator=torch.Generator().manual_seed(1))
    images = images.to(device, memory_format=torch.channels_last)
    labels = torch.arange(BATCH[resolution]).remainder(CLASSES).to(device)

    def ready(module: nn.Module) -> nn.Module:
        return module.to(device).to(memory_format=torch.channels_last).train()

    def plain() -> Step:
        torch.manual_seed(0)
        module = ready(Network(space.decode(largest)))
        return training_step(module, lambda: module(images), labels)

    def masked(mode: str) -> Callable[[], Step]:
        """The whole superkernel under its indicators: the paper's step, and the default's threshold step."""

        def make() -> Step:
            torch.manual_seed(0)
            module = Superkernel(space, mode)  # type: ignore[arg-type]
            ready(module)
            if mode == "default":  # as a threshold step does: the weights get no gradients
                for parameter in module.weights():
                    parameter.requires_grad_(False)

            def forward() -> Tensor:
                logistic = torch.rand(module.num_decisions, generator=noise).logit(eps=1e-7).to(device)
                return module(images, module.indicators(logistic if mode == "default" else None))

            return training_step(module, forward, labels)

        return make

    def sliced() -> Step:
        torch.manual_seed(0)
        module = Superkernel(space)
        ready(module)
        sizes = [len(position.candidates) for position in space.positions]

        def forward() -> Tensor:
            path = [int(torch.randint(size, (), generator=noise)) for size in sizes]
            return module(images, path)

        return training_step(module, forward, labels)

    def soft() -> Step:
        torch.manual_seed(0)
        module = Supernet(space)
        ready(module)
        theta = initial_theta([len(position.candidates) for position in space.positions])

        def forward() -> Tensor:
            path, _ = draw_path(theta, 5.0, "soft", noise, differentiable=False)
            return module(images, path.to(device))

        return training_step(module, forward, labels)

    return {
        "plain_k5_e6": plain,
        "paper": masked("paper"),
        "default_weights": sliced,
        "default_thresholds": masked("default"),
        "soft_supernet": soft,
    }


if __name__ == "__main__":
    bench("experiments.benchmarks.superkernel_step.run", __doc__, variants, BATCH, sampled=("default_weights",))
