"""Distillation: the loss by hand, the teacher as a part of the training's identity, teachers of every origin."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from nas.data import ImageData
from nas.data.preprocessing import Preprocessing
from nas.networks import model_folder
from nas.networks.model_card import About
from nas.runs import checkpoint
from nas.train import __main__ as command
from nas.train.distillation import Distillation, SoftLabels, soft_loss
from nas.train.start.teacher import Teacher, distillation_of
from nas.train.training import Options, build_network, train
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

RECIPE = Recipe(epochs=1, batch_size=80, lr=0.05, label_smoothing=0.1, augment="shift")


def test_the_soft_loss_by_hand() -> None:
    """Two classes at temperature 2: the teacher says (3/4, 1/4), the student (1/2, 1/2)."""
    answers, logits = torch.tensor([[2 * math.log(3), 0.0]]), torch.zeros(1, 2)
    kl = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert float(soft_loss(logits, answers, 2.0)) == pytest.approx(4 * kl, rel=1e-6)
    one = torch.ones(1)
    soft = SoftLabels(Distillation(nn.Identity(), 2.0, 0.25), one, one, torch.device("cpu"))
    hard = F.cross_entropy(logits, torch.tensor([0]))
    assert float(soft.loss(hard, logits, answers)) == pytest.approx(0.75 * math.log(2) + 0.25 * 4 * kl, rel=1e-6)


def test_the_gradient_of_the_soft_loss_at_high_temperature_is_that_of_matched_logits() -> None:
    """Section 2.1 of the paper: for large T it is (s - t) / (classes * batch), for logits of mean 0."""
    torch.manual_seed(0)
    logits, answers = (each - each.mean(1, keepdim=True) for each in torch.randn(2, 3, 5, dtype=torch.float64))
    logits.requires_grad_()
    ours, theirs = ((each / 1e3).log_softmax(1) for each in (logits, answers))
    (1e6 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)).backward()
    torch.testing.assert_close(logits.grad, (logits - answers).detach() / 15, rtol=1e-2, atol=1e-4)


def test_a_teacher_gets_images_as_it_wants_them() -> None:
    mean, std = torch.tensor([0.5]), torch.tensor([0.25])
    pixels = torch.rand(2, 1, 4, 4)
    soft = SoftLabels(Distillation(nn.Identity(), mean=(0.3,), std=(0.1,)), mean, std, torch.device("cpu"))
    torch.testing.assert_close(soft.answers((pixels - 0.5) / 0.25), (pixels - 0.3) / 0.1)


def test_a_teacher_belongs_to_the_training(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    teachers = [build_network(arch, RECIPE, seed=seed) for seed in (1, 2)]
    path = tmp_path / "train.pt"

    def trained(told: Distillation | None, checkpoint: Path | None = None) -> dict[str, torch.Tensor]:
        network = build_network(arch, RECIPE)
        train(network, data, RECIPE, options=Options(checkpoint=checkpoint, distillation=told))
        return dict(network.state_dict())

    told = Distillation(teachers[0])
    before = {name: value.clone() for name, value in teachers[0].state_dict().items()}
    alone, one, two = trained(None), trained(told, path), trained(told)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not all(torch.equal(one[key], alone[key]) for key in one)
    assert all(torch.equal(before[key], value) for key, value in teachers[0].state_dict().items())
    for other in (None, Distillation(teachers[1]), dataclasses.replace(told, temperature=2.0)):
        with pytest.raises(ValueError, match="distillation"):
            trained(other, path)
    assert "distillation" not in checkpoint.load(path)["network"]  # the teacher's weights lie elsewhere


def _told(asked: dict[str, Any], data: ImageData) -> Distillation | None:
    return distillation_of(Teacher.from_config(asked), data)


def test_teachers_of_every_origin(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    folder, file = tmp_path / "model", tmp_path / "timm.pt"
    about = About(data=data, metrics={}, recipe=RECIPE, family=None, origin="")
    model_folder.write(folder, build_network(arch, RECIPE), about)
    asked = {"teacher": str(folder)}
    found = _told(asked, data)
    assert found is not None and found.mean == tuple(data.train.mean.tolist()) and found.alpha == 0.5
    assert not found.unsaid
    known = timm.create_model("test_vit", num_classes=10, in_chans=1)
    torch.save(known.state_dict(), file)
    found = _told({"teacher": "test_vit", "teacher_weights": str(file), "distill_alpha": 1.0}, data)
    assert found is not None and found.mean is None and found.alpha == 1.0
    assert "timm.pt does not say how its images were normalised" in found.unsaid  # a search says it as a training does
    assert Teacher("test_vit", str(file)).pinned(data).unsaid == found.unsaid
    assert found.identity()["teacher"] == Distillation(known).identity()["teacher"]
    assert _told({}, data) is None
    for wrong, message in (
        ({"teacher": "test_vit"}, "has no weights: give teacher_weights"),
        ({"teacher_weights": "a.pt"}, "are of no network: give teacher="),
        ({**asked, "distill_alpha": 0.0}, "distill_alpha must be greater than 0"),
        ({**asked, "distill_temperature": -1.0}, "distill_temperature must be greater than 0"),
    ):
        with pytest.raises(ValueError, match=message):
            _told(wrong, data)
    with pytest.raises(ValueError, match="knows 10 classes"):
        _told(asked, dataclasses.replace(data, num_classes=7, class_names=data.class_names[:7]))
    named = dataclasses.replace(data, class_names=tuple("0123456789"[::-1]))
    model_folder.write(tmp_path / "named", build_network(arch, RECIPE), dataclasses.replace(about, data=named))
    asked = {"teacher": str(tmp_path / "named")}
    with pytest.raises(ValueError, match="same classes in the same order"):
        _told(asked, dataclasses.replace(data, class_names=tuple("abcdefghij")))


def test_a_teacher_of_floats_does_not_teach_on_bytes(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    floats = dataclasses.replace(data, preprocessing=Preprocessing(arrays="float32"))
    model_folder.write(tmp_path / "model", build_network(arch, RECIPE), About(data=floats))
    asked = {"teacher": str(tmp_path / "model")}
    assert _told(asked, floats) is not None
    with pytest.raises(ValueError, match="model was trained on floats in a unit of their own; data digits holds bytes"):
        _told(asked, data)


def test_the_command(arch: Arch, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("arch.json").write_text(arch.to_json())
    short = ["arch=arch.json", "recipe.epochs=1", "recipe.batch_size=256", "accelerator=cpu", "evaluate_every=0"]
    command.main([*short, "run_dir=teacher"])
    command.main([*short, "run_dir=student", "teacher=teacher", "distill_temperature=2"])
    assert "learns from teacher (" in (said := capsys.readouterr().out) and "50% of the loss, at temperature 2" in said
    assert "normalised" not in said
    shutil.copy("teacher/model/model.safetensors", "bare.safetensors")
    command.main([*short, "run_dir=third", "teacher=arch.json", "teacher_weights=bare.safetensors"])
    assert "bare.safetensors does not say how its images were normalised" in " ".join(capsys.readouterr().out.split())
    losses = [json.loads(Path(f"{run}/metrics.jsonl").read_text())["train_loss"] for run in ("teacher", "student")]
    assert losses[0] != losses[1]
