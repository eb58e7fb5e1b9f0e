"""Spaces written as yaml: what they hold, and one line with stage and fix for each thing that can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml

from nas.latency.runtimes.onnxruntime import onnx_model
from nas.networks.network import build_network
from search_spaces.blocks import Skip
from search_spaces.composed import ComposedSpace
from search_spaces.from_card import from_card
from search_spaces.space import LayerwiseSpace

GOOD = """
resolution: 16
num_classes: 10
in_channels: 1
stem: {out_channels: 8, kernel_size: 3}
head: {out_channels: 32}
stages:
  - {name: early, channels: 8, depth: 1, blocks: [{kind: inverted_residual, kernel_size: [3, 5], expand_ratio: 1}]}
  - name: late
    channels: 16
    depth: 2
    stride: 2
    blocks:
      - {kind: inverted_residual, kernel_size: [3, 5], expand_ratio: [3, 6], se: [null, 0.25]}
      - {kind: skip}
"""


def card(**late: Any) -> dict[str, Any]:
    """`GOOD` with keys of its stage `late` replaced; None removes a key."""
    data: dict[str, Any] = yaml.safe_load(GOOD)
    data["stages"][1] = {key: value for key, value in (data["stages"][1] | late).items() if value is not None}
    return data


def test_fixed_shapes_are_a_layerwise_space() -> None:
    space = from_card(**card())
    assert isinstance(space, LayerwiseSpace)
    assert [len(position.candidates) for position in space.positions] == [2, 8, 9]
    assert isinstance(space.positions[2].candidates[-1], Skip)


def test_choices_of_shape_are_a_composed_space() -> None:
    blocks = [{"kind": "inverted_residual", "kernel_size": [3, 5]}, {"kind": "conv_bn_act", "kernel_size": 3}]
    space = from_card(**card(channels=[16, 24], depth=[1, 2, 3], blocks=blocks))
    assert isinstance(space, ComposedSpace)
    assert [v.name for v in space.variables] == ["early.block", "late.channels", "late.block", "late.depth"]
    assert space.size == 2 * 2 * 3 * 3
    arch = space.decode((1, 1, 2, 2))
    assert [layer.kind for layer in arch.stages[2]] == ["conv_bn_act"] * 3
    assert space.encode(arch) == (1, 1, 2, 2)


@pytest.mark.parametrize("kind", ["inverted_residual", "depthwise_separable", "linear_bottleneck", "conv_bn_act"])
def test_every_kind_exports_and_computes_the_same(kind: str) -> None:
    data = card(channels=[16, 24], depth=[1, 2], blocks=[{"kind": kind, "kernel_size": [3, 5]}])
    data["stages"][0]["blocks"] = [{"kind": kind, "kernel_size": 3}]
    space = from_card(**data)
    arch = space.decode(space.sample(1, np.random.default_rng(0))[0])
    network, images = build_network(arch).eval(), torch.randn(2, *arch.input_shape)
    model = onnx_model(network, tuple(images.shape), "fp32").SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, network(images), atol=1e-4)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt key": ({"chanels": 8}, "stage 'late' has no key 'chanels'; did you mean channels?"),
    "missing key": ({"depth": None}, "stage 'late' has no depth; add depth: ..."),
    "unknown kind": (
        {"blocks": [{"kind": "inverted_residul"}]},
        "stage 'late': unknown block kind 'inverted_residul'; did you mean inverted_residual?",
    ),
    "unknown field": (
        {"blocks": [{"kind": "inverted_residual", "kernel": 3}]},
        "stage 'late': inverted_residual has no field 'kernel'; did you mean kernel_size?",
    ),
    "field of the stage": (
        {"blocks": [{"kind": "inverted_residual", "stride": 2}]},
        "stage 'late': a block takes its stride from the stage; move stride there",
    ),
    "even kernel": (
        {"blocks": [{"kind": "inverted_residual", "kernel_size": [3, 4]}]},
        "stage 'late': inverted_residual: kernel_size must be odd ('same' padding), got 4",
    ),
    "text for a number": (
        {"blocks": [{"kind": "inverted_residual", "kernel_size": "three"}]},
        "stage 'late': inverted_residual: kernel_size must be a whole number, got 'three'",
    ),
    "unknown activation": (
        {"blocks": [{"kind": "inverted_residual", "act": "swishy"}]},
        "stage 'late': inverted_residual: unknown activation 'swishy'; one of relu, relu6, hard_swish, silu (or '' for "
        "none)",
    ),
    "candidate twice": (
        {"blocks": [{"kind": "inverted_residual", "expand_ratio": [3, 3.0]}]},
        "stage 'late': the candidate k3_e3 is listed twice; drop one",
    ),
    "groups that do not divide": (
        {"channels": 15, "blocks": [{"kind": "inverted_residual", "groups": [1, 2]}]},
        "stage 'late': k3_e6_g2 has 2 groups, which do not divide 48 and 15 channels; use channels that are multiples "
        "of 2",
    ),
    "only skip": (
        {"blocks": [{"kind": "skip"}]},
        "stage 'late': its only candidate is skip; add a block or drop the stage",
    ),
    "skip beside choices of depth": (
        {"depth": [1, 2]},
        "stage 'late': skip needs fixed channels and depths in all stages; drop it, and let depth choose how many "
        "blocks there are",
    ),
    "large stride": ({"stride": 4}, "stage 'late': stride must be 1 or 2, got 4; split a larger one over two stages"),
    "no number of channels": (
        {"channels": "many"},
        "stage 'late': channels must be a whole number >= 1 or a list of different ones, got 'many'",
    ),
    "no blocks": ({"blocks": []}, "stage 'late': blocks must be a list of at least one candidate, got []"),
    "mixed layouts": (
        {"blocks": [{"kind": "linear_bottleneck"}]},
        "stage 'early': linear_bottleneck does not mix with inverted_residual in one network; use it in all stages "
        "or in none",
    ),
    "too many rows": (
        {"channels": list(range(8, 5000)), "blocks": [{"kind": "inverted_residual", "kernel_size": [3, 5, 7]}]},
        "stage 'late': its choices take the latency table above 10000 rows; list fewer channels",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_stages_are_named_with_their_cure(case: str) -> None:
    change, message = BROKEN[case]
    with pytest.raises(ValueError) as caught:
        from_card(**card(**change))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"resolution": 1},
            "stage 'late': stride 2 on a map of 1x1 pixels; use larger images (resolution) or stride 1",
        ),
        ({"stages": []}, "space.stages is empty; list at least one stage"),
        ({"stem": {"out_channels": 8, "kernel_size": 2}}, "stem: conv_bn_act: kernel_size must be odd"),
        ({"head": {"kind": "skip", "out_channels": 8}}, "head: must be a conv_bn_act layer, got skip"),
        ({"max_macs": 1000}, "no network of stage 'early' to stage 'late' has at most max_macs=1,000 multiply-adds"),
    ],
)
def test_broken_cards(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        from_card(**card() | keys)
    assert str(caught.value).startswith(message)


def test_nothing_to_choose_is_said() -> None:
    data = card(blocks=[{"kind": "inverted_residual"}])
    data["stages"][0]["blocks"] = [{"kind": "inverted_residual"}]
    with pytest.raises(ValueError, match="stage 'early' and all others offer one choice only"):
        from_card(**data)


def test_the_shipped_card_is_sound() -> None:
    data = yaml.safe_load((Path(__file__).parents[2] / "conf" / "space" / "from_card.yaml").read_text())
    keys = {key: value for key, value in data.items() if value is not None and key not in ("_target_", "method")}
    assert isinstance(from_card(**keys), LayerwiseSpace)
