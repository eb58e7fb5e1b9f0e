"""What makes theta decide, and whether rightly, in a model whose best candidates are known (see README.md)."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments import records
from experiments.equal_latency import mean_interval
from nas.methods.supernets.objectives import row_entropies
from nas.runs.seeding import generator

POSITIONS, CANDIDATES = 44, 9
STEPS = 8  # a pass over theta's part of digits
SEEDS = 8
WORTHS = {"weak": 0.05, "strong": 0.1}  # standard deviation of what candidates are worth, in the noise's unit
NOISE = 0.3  # of a batch's gradient
START = 5.0  # temperature of the first epoch


@dataclass(frozen=True)
class Settings:
    """As in `conf/method/dnas.yaml`; the temperature falls evenly, by a factor an epoch, to `floor` in the last one."""

    passes: int
    entropy_weight: float
    epochs: int = 6
    floor: float = 0.5
    theta_lr: float = 0.1
    beta1: float = 0.5


FORMER = Settings(passes=1, entropy_weight=0.0, epochs=5, floor=START * float(np.exp(-2.0)))  # 0.5 an epoch
TRIED = {
    "former default": FORMER,
    "three passes": Settings(3, 0.0),
    "three passes, entropy 0.05": Settings(3, 0.05),
    "default": Settings(3, 0.15),
    "three passes, entropy 0.3": Settings(3, 0.3),
    "three passes, entropy 1": Settings(3, 1.0),
    "one pass, entropy 1": Settings(1, 1.0),
    "default, temperature to 0.1": Settings(3, 0.15, floor=0.1),
    "default, temperature to 1": Settings(3, 0.15, floor=1.0),
    "default, Adam's first beta 0.9": Settings(3, 0.15, beta1=0.9),
    "default, theta_lr 0.05": Settings(3, 0.15, theta_lr=0.05),
}


def search(settings: Settings, worth: float, seed: int) -> tuple[float, float]:
    """Mean top probability at the end, and what the likeliest candidates are worth, in standard deviations of `worth`.

    A candidate is worth `s ~ N(0, worth)` for good. A step sees it plus noise of its batch, through Gumbel-softmax
    weights m: its loss is `-sum_k m_k (s_k + noise_k)`, the supernet's loss to first order in m.
    """
    draws = generator(seed, "theta model", 0)
    s = worth * torch.randn(POSITIONS, CANDIDATES, generator=draws)
    theta = torch.zeros(POSITIONS, CANDIDATES, requires_grad=True)
    optimizer = torch.optim.Adam([theta], settings.theta_lr, betas=(settings.beta1, 0.999), weight_decay=5e-4)
    warmup = 2 * settings.epochs // 5
    for epoch in range(warmup, settings.epochs):
        temperature = START * (settings.floor / START) ** (epoch / (settings.epochs - 1))
        sharpen = settings.entropy_weight * (epoch + 1 - warmup) / (settings.epochs - warmup)
        for _ in range(settings.passes * STEPS):
            gumbel = -torch.empty_like(s).exponential_(generator=draws).log()
            m = torch.softmax((theta + gumbel) / temperature, -1)
            seen = s + NOISE * torch.randn(s.shape, generator=draws)
            loss: Tensor = sharpen * row_entropies(theta).sum() - (m * seen).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    p = torch.softmax(theta.detach(), -1)
    picked = s.gather(1, p.argmax(-1, keepdim=True)) / worth
    return float(p.amax(-1).mean()), float(picked.mean())


def collect() -> list[records.Record]:
    """A record of every setting, worth and seed."""
    found = []
    for name, settings in TRIED.items():
        for kind, worth in WORTHS.items():
            for seed in range(SEEDS):
                top, picked = search(settings, worth, seed)
                found.append({"settings": name, "worth": kind, "seed": seed, "top": top, "picked": picked})
    return found


def report(found: list[records.Record]) -> None:
    """Print a row a setting."""
    print("| settings | weak: mean top probability | worth of what is picked | strong: top | worth |")
    print("| --- | --- | --- | --- | --- |")
    for name in TRIED:
        cells = []
        for kind in WORTHS:
            mine = [record for record in found if record["settings"] == name and record["worth"] == kind]
            mean, half = mean_interval([record["picked"] for record in mine])
            cells.append(f"{np.mean([record['top'] for record in mine]):.2f} | {mean:.2f} ± {half:.2f}")
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/decided/theta_model.jsonl"))
    parser.add_argument("--report", type=Path, help="print the table of these results instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.report:
        found = records.read(options.report)
    else:
        found = collect()
        options.out.parent.mkdir(parents=True, exist_ok=True)
        records.write(options.out, found)
    report(found)


if __name__ == "__main__":
    main()
