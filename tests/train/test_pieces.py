"""`accumulate=auto`: the fewest pieces of a batch that fit into memory, and the training that they make."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.data import ImageData
from nas.runs import checkpoint
from nas.runs.keeping.settings import Keeping
from nas.train.fit import OneImage
from nas.train.loop.epoch import _Epoch
from nas.train.loop.pieces import in_pieces
from nas.train.training import Options, build_network, train
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe
from tests.train.test_training import same

RECIPE = Recipe(epochs=2, batch_size=60, lr=0.05)
WHOLE = _Epoch._loss


def small_memory(patch: pytest.MonkeyPatch, images: int, from_call: int = 0) -> None:
    """A device whose memory holds the forward pass of so many images, from that call on."""
    calls = 0

    def loss(self: _Epoch, batch: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if len(batch) > images and calls > from_call:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        return WHOLE(self, batch, labels)

    patch.setattr(_Epoch, "_loss", loss)


def trained(arch: Arch, data: ImageData, path: Path, accumulate: int | None = None) -> dict[str, torch.Tensor]:
    network = build_network(arch, RECIPE)

    def once(count: int) -> dict[str, float]:
        options = Options(path, accumulate=count, keeping=Keeping(minutes=1e-9))
        return train(network, data, RECIPE, options=options)

    if accumulate is None:
        in_pieces(once, network, RECIPE.batch_size, path)
    else:
        once(accumulate)
    return dict(network.state_dict())


@pytest.mark.parametrize(
    ("images", "pieces", "said"), [(60, 1, []), (25, 4, [2, 4]), (16, 4, [2, 4]), (10, 10, [2, 4, 10])]
)
def test_pieces_double_until_they_fit(
    images: int, pieces: int, said: list[int], arch: Arch, data: ImageData, tmp_path: Path, monkeypatch, capsys
) -> None:
    expected = trained(arch, data, tmp_path / "asked.pt", pieces)
    small_memory(monkeypatch, images)
    assert same(trained(arch, data, tmp_path / "found.pt"), expected)
    lines = [line for line in capsys.readouterr().out.splitlines() if "out of memory" in line]
    assert [int(line.split("taken in ")[1].split()[0]) for line in lines] == said
    assert checkpoint.load(tmp_path / "found.pt")["identity"].get("accumulate", 1) == pieces


def test_what_never_fits_and_what_runs_out_late_are_errors(
    arch: Arch, data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_memory(monkeypatch, 0)
    with pytest.raises(ValueError, match="out of memory, whatever the equal pieces of 60 images"):
        trained(arch, data, tmp_path / "never.pt")
    small_memory(monkeypatch, 30, from_call=2)
    with pytest.raises(ValueError, match="ran out in the middle of the training, in 1 pieces.* accumulate=2"):
        trained(arch, data, tmp_path / "late.pt")
    small_memory(monkeypatch, 30)
    with pytest.raises(ValueError, match="ran out in the middle"):  # continued with the pieces it had
        trained(arch, data, tmp_path / "late.pt")


@pytest.mark.parametrize(
    ("images", "fits", "advice"),
    [(7, 4, "with 7 images at a time, .* take a recipe.batch_size with equal pieces"), (2, 1, "a smaller network$")],
)
def test_pieces_of_one_image_that_norms_refuse_get_advice_that_helps(
    images: int, fits: int, advice: str, tmp_path: Path
) -> None:
    """A larger batch has pieces of one image again."""

    def once(count: int) -> None:
        if images // count > fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        raise OneImage(f"give a recipe.batch_size of {2 * count} or more")

    with pytest.raises(ValueError, match=advice) as refused:
        in_pieces(once, torch.nn.Linear(1, 1), images, tmp_path / "train.pt")
    assert "or more" not in str(refused.value)
