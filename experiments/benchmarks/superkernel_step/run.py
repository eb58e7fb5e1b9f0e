"""Time and memory of one training step: superkernels, their largest plain net, and the soft supernet of that space."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.benchmarks.stepping import Step, median_ms, memory_of, peak_mib, times_ms, training_step
from nas.files import write_json
from nas.gumbel import draw_path, initial_theta
from nas.latency.device import cpu_model
from nas.memory import keep_freed_memory
from nas.network import Network
from nas.superkernel import Superkernel
from nas.supernet import Supernet
from search_spaces.single_path import single_path

HERE = Path(__file__).parent
MODULE = "experiments.benchmarks.superkernel_step.run"
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, choices=sorted(BATCH), nargs="*", default=sorted(BATCH))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--save", action="store_true", help="write results-<device>.json beside this file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    if device.type == "cpu":
        keep_freed_memory()  # as every training does
    if options.memory_of:
        print(memory_of(variants(options.resolution[0], device), options.memory_of))
        return
    results: dict[str, object] = {
        "device": cpu_model() if device.type == "cpu" else torch.cuda.get_device_name(),
        "threads": options.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "repeats": options.repeats,
    }
    for resolution in options.resolution:
        makers = variants(resolution, device)
        taken = times_ms(makers, options.repeats, device, sampled=("default_weights",))
        medians = median_ms(taken)
        memory = {name: peak_mib(MODULE, resolution, name, makers, device) for name in taken}
        rows = {}
        print(f"{resolution} pixels, batch {BATCH[resolution]}, {results['device']}, {options.threads} threads")
        for name, values in taken.items():
            ratio, share = medians[name] / medians["plain_k5_e6"], memory[name] / memory["plain_k5_e6"]
            spread = {"min": min(values), "max": max(values)}
            rows[name] = {"median": medians[name], **spread, "ratio": ratio, "peak_mib": memory[name], "memory": share}
            print(
                f"  {name:20s} {medians[name]:9.1f} ms ({min(values):.1f} to {max(values):.1f})  {ratio:5.2f} x"
                f"  peak {memory[name]:7.0f} MiB  {share:5.2f} x"
            )
        results[f"{resolution}px"] = {"batch": BATCH[resolution], "ms": rows}
    if options.save:
        write_json(HERE / f"results-{device.type}.json", results)


if __name__ == "__main__":
    main()
