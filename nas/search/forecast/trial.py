"""A few training steps of one network, timed here and now: what all longer trainings are reckoned from."""

from __future__ import annotations

import time
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from accelerate import Accelerator

from nas.networks.network import build_network
from nas.runs.keeping.randomness import random_state, set_random_state
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

STEPS = 4  # timed at most, behind one that is not
SECONDS = 1.5  # after which no further one begins
IMAGES = 64  # in a step at most


def seconds_an_image(arch: Arch, recipe: Recipe, accelerator: Accelerator) -> float:
    """Seconds that one image takes in a training of `arch` by `recipe`, forwards, backwards and the update.

    Images are noise and the update is plain descent, so decoding, augmentation and a costlier optimiser come on top.
    No random number that a search draws later is another one for it.
    """
    before, device = random_state(), accelerator.device
    try:
        network = build_network(arch).to(device).to(memory_format=torch.channels_last).train()
        count = min(recipe.batch_size, IMAGES)
        images = torch.randn(count, *arch.input_shape, device=device).contiguous(memory_format=torch.channels_last)
        labels = torch.randint(arch.num_classes, (count,), device=device)
        optimizer = torch.optim.SGD(network.parameters(), 1e-4)
        times: list[float] = []
        began = time.perf_counter()
        while len(times) <= STEPS and (len(times) < 2 or time.perf_counter() - began < SECONDS):
            start = time.perf_counter()
            with accelerator.autocast() if accelerator.mixed_precision != "no" else nullcontext():
                loss = F.cross_entropy(network(images).float(), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()  # waits for an accelerator
            times.append(time.perf_counter() - start)
        return min(times[1:]) / count
    finally:
        set_random_state(before)
