"""How much of the workers' time trains candidates: proposed in rounds, or one whenever the oldest is scored."""

from __future__ import annotations

import heapq

import numpy as np

from search_spaces.pricing.additive import Floats

CANDIDATES, DRAWS = 64, 200
SPREADS = (0.2, 0.5, 0.8)  # standard deviations of the logarithm of a training's length
WORKERS = (2, 4, 8)


def in_rounds(lengths: Floats, workers: int) -> float:
    """When the last of trainings of `lengths` ends, rounds of `workers` one after the other."""
    return float(sum(lengths[begin : begin + workers].max() for begin in range(0, len(lengths), workers)))


def one_by_one(lengths: Floats, workers: int, batch: int) -> float:
    """The same where at most `batch` are proposed and not scored, and scored in their order."""
    scored, free = np.zeros(len(lengths)), [0.0] * workers
    for i, length in enumerate(lengths):
        proposed = scored[i - batch] if i >= batch else 0.0
        end = max(heapq.heappop(free), proposed) + length
        heapq.heappush(free, end)
        scored[i] = max(scored[i - 1] if i else 0.0, end)
    return float(scored[-1])


def main() -> None:
    rng = np.random.default_rng(0)
    print("| spread | workers | rounds | one by one, as many as workers | half as many more | twice as many |")
    print("| --- | --- | --- | --- | --- | --- |")
    for spread in SPREADS:
        for workers in WORKERS:
            used = []
            for _ in range(DRAWS):
                lengths = rng.lognormal(0, spread, CANDIDATES)
                ends = [in_rounds(lengths, workers)]
                ends += [
                    one_by_one(lengths, workers, batch) for batch in (workers, workers + workers // 2, 2 * workers)
                ]
                used.append(lengths.sum() / workers / np.array(ends))
            print(f"| {spread} | {workers} | " + " | ".join(f"{share:.2f}" for share in np.mean(used, axis=0)) + " |")


if __name__ == "__main__":
    main()
