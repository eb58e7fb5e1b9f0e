"""Networks from a finished search, whatever its kind of method."""

from __future__ import annotations

from typing import Any, cast

from nas.derive import most_probable
from nas.derive.from_candidates import derive_candidates
from nas.derive.from_supernet import derive_inherited
from nas.derive.handover import derive_probable, read_decided, read_probabilities
from nas.derive.most_probable import Derivation
from nas.derive.request import DerivedNetworks, Ranking, Request, hand_over
from nas.derive.setup import DeriveSetup
from nas.methods.base import CandidateMethod, is_supernet
from nas.runs.keeping.own_code import code_behind, say_other_code
from nas.runs.locks import in_use
from search_spaces.space import Genotype
from search_spaces.wrappers.silent import SilentGenes


def run_derivation(setup: DeriveSetup) -> DerivedNetworks:
    """Derive, measure, write and show networks. Raises `ValueError` for bad input and where none is within reach."""
    method, elastic, request = setup.search.method, setup.search.elastic, Request.of(setup)
    code = code_behind(method, setup.search.archs.table_entries())
    say_other_code(setup.search.folder, code, "networks are chosen by the present code from what was found then")
    with in_use(request.out, f"the folder {request.out} of derived networks", "wait for it, or give out=FOLDER"):
        if is_supernet(method):
            return _derive_supernet(request)
        if elastic is not None:
            return derive_inherited(request, cast(CandidateMethod, method), elastic)
        return derive_candidates(request, cast(CandidateMethod, method))


def _derive_supernet(request: Request) -> DerivedNetworks:
    """Derive from the probabilities of a supernet, or the network that its search decided."""
    setup, search, budget = request.setup, request.search, request.setup.budget
    probabilities, decided = read_probabilities(search.folder, search.space), read_decided(search.folder, search.space)
    assert request.cost is not None  # a supernet always has a table
    mode = most_probable.own_mode(search.method, setup.mode)
    silent = SilentGenes.of(search.archs)
    asked = Derivation(mode, setup.use, setup.count, budget.rounds, setup.seed, silent=silent)
    most_probable.check(asked.mode, asked.count, asked.use)
    derived = derive_probable(probabilities, decided, request.cost, request.clock, request.budgets, asked)

    def facts(genotype: Genotype) -> dict[str, Any]:
        return {"log_probability": most_probable.log_probability(probabilities, genotype)}

    return hand_over(request, derived, Ranking("log P", facts, lambda _: search.recipe))
