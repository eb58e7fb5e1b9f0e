"""Methods say of what kind they are; nothing is guessed from the names of their functions."""

from __future__ import annotations

import pytest

from nas.methods.base import CandidateMethod, SupernetMethod, kind_of
from nas.methods.predictor import PredictorProposal
from nas.methods.proposal import Proposal
from nas.terminal.command_help import options
from nas.terminal.configuration.cards import find_target
from nas.terminal.configuration.composition import card_values


def test_every_card_declares_its_kind() -> None:
    kinds = {name: kind_of(find_target(card_values(f"method/{name}")["_target_"])) for name in options("method")}
    assert {name for name, kind in kinds.items() if kind == "supernet"} == {"dnas", "masking", "single_path"}


def test_a_method_of_no_kind_is_refused() -> None:
    class Mine:
        def start(self, feasible: object, seed: int) -> None: ...

    with pytest.raises(ValueError, match="method Mine does not say of what kind it is; derive its class from"):
        kind_of(Mine())


def test_abilities_are_declared_with_sound_defaults() -> None:
    assert PredictorProposal.has_finalists and PredictorProposal.has_front
    assert not Proposal.has_finalists and not Proposal.has_front
    assert SupernetMethod.derive_mode.fget(object()) is None  # type: ignore[attr-defined]
    assert CandidateMethod.kind != SupernetMethod.kind
