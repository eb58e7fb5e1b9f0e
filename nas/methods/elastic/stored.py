"""The checkpoint of an elastic supernet: where it lies, what it holds, and the finished supernet in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.methods.elastic.network import ElasticNetwork
from nas.runs import checkpoint as checkpoints
from nas.runs.files import write_json
from nas.runs.stored import Count, NonNegative, read_record, record
from search_spaces.arch import own_code
from search_spaces.plain_data import identity
from search_spaces.plain_data.identity import Identity
from search_spaces.space import SearchSpace

FORMAT = "nas.elastic"
PROGRESS = {"epoch": Count, "seconds": NonNegative, "best": float | None, "roll_backs": Count | None}  # of a checkpoint
SUPERNET = "checkpoints/supernet.pt"  # of a run directory
SCORED_BY = "scored_by.json"  # in a run directory: whose weights its candidates inherited


def finished_epochs(checkpoint: Path) -> int:
    """How many epochs `checkpoint` holds; 0 where there is none. Raises `ValueError` for a damaged one."""
    state = checkpoints.latest(checkpoint)
    return 0 if state is None else int(progress_of(state, checkpoint)["epoch"])


def load(checkpoint: Path, space: SearchSpace) -> tuple[ElasticNetwork, Identity]:
    """The finished supernet in `checkpoint`, and what it depends on.

    Raises `ValueError` where there is none, where it is of other networks than those of `space`, and where its training
    has not ended.
    """
    state = checkpoints.latest(checkpoint)
    if state is None:
        where = checkpoint.absolute()
        raise ValueError(
            f"there is no supernet at {where}; it is a run of search.scorer=elastic that has one (where it was moved, "
            "tell a run that names it: nas.search resume=RUN search.supernet=ITS-NEW-PLACE)"
        )
    progress = progress_of(state, checkpoint)
    known = record(state.get("identity"), {}, f"checkpoint {checkpoint}: the identity")
    if known.get("networks") != space.fingerprint:
        raise ValueError(f"{checkpoint} is the supernet of another space than {space.name} as it is asked for")
    fix = "put the code of its blocks back, or train another supernet"
    identity.check(f"the supernet in {checkpoint}", known, {**known, **own_code(space.table_entries())}, fix)
    epochs = known.get("recipe", {}).get("epochs")
    if progress["epoch"] != epochs:
        raise ValueError(
            f"the supernet in {checkpoint} is trained for {progress['epoch']} of {epochs} epochs; resume it"
        )
    network = ElasticNetwork(space)
    load_part(network, state, "network", checkpoint)
    return network, known


def note_scores(run: Path, weights: str) -> None:
    """Keep in `run` that the scores of its candidates are those of a supernet of these `weights` (a digest)."""
    write_json(run / SCORED_BY, {"weights": weights})


def check_scores(run: Path, checkpoint: Path, weights: str) -> None:
    """Raise `ValueError` where the candidates of `run` inherited from another supernet than that of `checkpoint`, which
    has these `weights` (a digest). Runs from before that was kept do not say it."""
    if not (run / SCORED_BY).exists():
        return
    known = read_record(run / SCORED_BY, "note of a supernet", {"weights": str})
    fix = (
        "put back the supernet that its search had (a relative search.supernet is one below the present folder), or "
        f"tell the run where it lies now: nas.search resume={run} search.supernet=ITS-NEW-PLACE"
    )
    identity.check(f"the supernet {checkpoint}", {"weights": weights}, known, fix)


def progress_of(state: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    if state.get("format") != FORMAT:
        raise ValueError(f"{checkpoint} is not the checkpoint of an elastic supernet")
    return record(state.get("progress"), PROGRESS, f"checkpoint {checkpoint}: the progress")


def load_part(part: Any, state: dict[str, Any], name: str, checkpoint: Path) -> None:
    try:
        part.load_state_dict(state[name])
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:  # of other kinds
        reason = str(error).splitlines()[0]
        raise ValueError(f"checkpoint {checkpoint} does not fit this supernet: {reason}") from None
