"""Single-Path NAS (arXiv 1904.02877): one superkernel per block, thresholds that decide, trained together with it."""

from __future__ import annotations

from dataclasses import dataclass

from nas.methods.base import SearchResult, Task, layerwise
from nas.methods.loops.superkernel_settings import SuperkernelSettings
from nas.methods.supernets.nested_candidates import nest_of
from search_spaces.space import SearchSpace


@dataclass(kw_only=True)
class SinglePath(SuperkernelSettings):
    """Searches any layer-wise space whose candidates nest in kernel and expansion; see `supernets.superkernel_block`.

    `mode="default"`: weights learn on one part of the training data, along paths drawn from the current probabilities,
    executed on slices; thresholds learn on the other part, through the masked superkernel, with an optimiser of their
    own (Adam). In the first `warmup_epochs` every candidate is equally likely and thresholds rest. With a budget an
    augmented Lagrangian of `LAT <= budget` steers, LAT the exact expectation over the table's entries; without one the
    published `CE + latency_weight * ln(LAT)`.

    `mode="paper"`: as published. One optimiser, all images, `CE + latency_weight * ln(R)` with the runtime formula's
    ratio approximation; while warming up each indicator is dropped with probability `1 - keep_probability` and the
    latency has no weight. A budget does not enter the search, and the network is the one that the thresholds decide:
    one over the budget is refused, and others are derived from the probabilities (`mode=budget`).
    Departures: batch norms keep torch's momentum and epsilon; no dropout before the classifier; no weight average.

    `schedule`: learning rate of the weights (in `paper` mode of everything), `cosine` per epoch or `step`, 3% less
    every 2.4 epochs. Weight decay spares batch norms, and in `default` mode thresholds.
    """

    @property
    def derive_mode(self) -> str:
        """How a network is derived unless told otherwise: as published, by the thresholds, in the mode as published."""
        return "thresholds" if self.mode == "paper" else "budget"

    @property
    def divides_training(self) -> bool:
        return self.mode != "paper"

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` for a space that is not layer-wise or whose candidates do not nest."""
        for position in layerwise(space).positions:
            nest_of(position)

    def search(self, task: Task) -> SearchResult:
        """Train weights and thresholds. Raises `ValueError` where the space does not nest or the loss diverges."""
        from nas.methods.loops.superkernel_training import DefaultTraining, PaperTraining

        state = PaperTraining(self, task) if self.mode == "paper" else DefaultTraining(self, task)
        self.run(task, state, state.epoch)
        found, net = state.probabilities(), state.net
        return SearchResult(found, state.seconds, net.extract, net.decide(), state.epochs_done)
