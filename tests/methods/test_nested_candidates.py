"""The decisions of nested candidates, and candidates that do not nest."""

from __future__ import annotations

import itertools

import pytest

from nas.methods.supernets.nested_candidates import nest_of
from nas.methods.supernets.superkernel import Superkernel
from search_spaces.families.fbnet import fbnet
from tests.methods.nested_spaces import PAPER_SPACE, SPACES, decisions, uib


@pytest.mark.parametrize("name", SPACES)
def test_decisions_decode_every_choice_of_every_block(name: str) -> None:
    """The published parser turns 3x3-e6 into 3x3-e3 and 5x5-e3 into 5x5-e6."""
    space = SPACES[name]()
    for position in space.positions:
        nest = nest_of(position)
        for gene in range(len(position.candidates)):
            assert nest.gene(*decisions(nest, gene)) == gene


def test_the_five_outcomes_of_the_papers_three_decisions() -> None:
    nest = nest_of(PAPER_SPACE.positions[1])
    labels = {
        bits: nest.position.labels[nest.gene((bits[0],), bits[1:], False)]
        for bits in itertools.product((False, True), repeat=3)
    }
    for (k5, there, e6), label in labels.items():
        assert label == (f"k{5 if k5 else 3}_e{6 if e6 else 3}" if there else "skip")


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (["k3_e1", "k3_e1_g2"], "candidate 'k3_e1_g2' is not a slice of a larger block .its convolutions are grouped"),
        (["k3_e1", "k5_e3"], "needs every kernel of"),
        (["k3_e1", "k3_e3", "skip"], r"space.skip_at_shape_change=false"),
    ],
)
def test_candidates_that_do_not_nest_are_refused(candidates: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Superkernel(fbnet(8, candidates=candidates))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start_kernel": [0, 3]}, "differs from the others in start_kernel, not only in kernel, expansion"),
        (
            {"start_kernel": 3, "middle_kernel": [0, 3]},
            "candidate 'uib_a3_k0_e2' is not a slice of a larger block .it has no middle depthwise",
        ),
    ],
)
def test_universal_bottlenecks_that_do_not_nest_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nest_of(uib(**fields).positions[0])
