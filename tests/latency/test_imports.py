"""Public tables: exact prices, and refusals that name the row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.latency.device import Device
from nas.latency.imports import FORMATS, import_file
from nas.latency.imports.layers import write_layers
from nas.latency.imports.positions import SINGLE_PATH_REST_MS
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, PooledConv, SqueezeExcite
from search_spaces.families.fbnet import fbnet
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path
from search_spaces.pricing.additive import price
from tests.latency.foreign_tables import (
    CIFAR,
    HELP,
    LUT,
    OFA,
    PAPER,
    PROXYLESS,
    SINGLE_PATH,
    csv_lines,
    read,
    text_table,
    write,
    write_csv,
)

SUMS = ("pixel3", "raspi4", "eyeriss", "fpga")


@pytest.mark.parametrize("device", SUMS)
def test_hwnasbench_prices_5000_networks(device: str) -> None:
    table = read("hwnasbench", LUT, source=device)
    with np.load(HELP) as data:
        population, times = data["archs"].astype(np.int64), data[f"lat_{device}"]
    fixed, rows = table.rows(CIFAR)
    assert np.abs(price(population, fixed, rows) / times - 1).max() < 1e-9
    assert table.estimate_ms(CIFAR.decode(population[17].tolist())) == pytest.approx(times[17], rel=1e-9)
    for query in json.loads((LUT.parent / "published_queries.json").read_text())["queries"]:
        if query["dataset"] == "cifar100":
            wanted = query["metrics"][f"{device}_latency"]
            assert table.estimate_ms(CIFAR.decode(query["arch"])) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("device", SUMS)
def test_expected_latency_and_its_gradient_are_the_contraction(device: str) -> None:
    fixed, rows = read("hwnasbench", LUT, source=device).rows(CIFAR)
    torch.manual_seed(0)
    logits = torch.randn(22, 9, dtype=torch.float64, requires_grad=True)
    weights = torch.softmax(logits, dim=1)
    table = torch.tensor(np.array(rows))
    expected = fixed + (weights * table).sum()
    expected.backward()
    # by enumeration of one position at a time: the expectation is linear in each position's weights
    draws = np.random.default_rng(0)
    picks = np.stack([draws.choice(9, size=40_000, p=row) for row in weights.detach().numpy()], axis=1)
    priced = price(picks, fixed, rows)
    assert float(expected.detach()) == pytest.approx(priced.mean(), abs=5 * priced.std() / 200)
    w = weights.detach()
    wanted = w * (table - (w * table).sum(1, keepdim=True))
    torch.testing.assert_close(logits.grad, wanted, rtol=1e-12, atol=1e-12)
    one_hot = torch.zeros(22, 9, dtype=torch.float64)
    one_hot[torch.arange(22), torch.from_numpy(picks[0])] = 1
    assert float(fixed + (one_hot * table).sum()) == pytest.approx(priced[0], rel=1e-12)


def test_single_path_reproduces_the_papers_totals() -> None:
    space = single_path()
    table = read("single_path", SINGLE_PATH)
    totals = [table.estimate_ms(space.decode([c] * 20)) for c in range(4)]
    assert totals == pytest.approx([65.69, 110.65, 76.36, 131.46], abs=0.01)
    skipped = table.estimate_ms(space.decode([4 if len(v) == 5 else 0 for v in space.variables]))
    firsts = json.loads(SINGLE_PATH.read_text())
    assert skipped == pytest.approx(SINGLE_PATH_REST_MS + sum(firsts[str(i)]["0"] for i in (1, 5, 9, 13, 17)))


def test_help_learns_and_proves_a_table() -> None:
    table = read("help", HELP, source="titan_rtx_1")
    assert table.proof is not None
    assert (table.proof.networks, table.proof.fit_networks) == (1000, 4000)
    assert table.proof.calibrated.mape_percent < 0.4
    assert min(row.ms for row in table.rows_) >= 0
    with pytest.raises(ValueError, match=r"give source=\.\.\., one of 1080ti_1"):
        read("help", HELP)
    with pytest.raises(ValueError, match="it has no 'titan'; give source="):
        read("help", HELP, source="titan")
    with pytest.raises(ValueError, match="layer 1 has the candidates"):
        read("help", HELP, space=fbnet(32, candidates=("k3_e1", "skip")), source="fpga")
    with pytest.raises(ValueError, match="is json, and format=help reads archive"):
        read("help", SINGLE_PATH, source="fpga")


def test_ragged_tables_name_their_space(tmp_path: Path) -> None:
    """FBNet's own table has no skip where the shape changes."""
    ragged = fbnet(224, skip_at_shape_change=False)

    def drop(lines: list[list[str]]) -> None:
        for line, position in zip(lines, ragged.positions, strict=True):
            del line[len(position.labels) :]

    path = write(tmp_path, text_table(drop))
    with pytest.raises(ValueError, match=r"line 2 .* 8 numbers instead of 9; .* space.skip_at_shape_change=false"):
        read("text", path, space=PAPER, unit="ms")
    table = read("text", path, space=ragged, unit="ms")
    whole = read("text", write(tmp_path, text_table()), space=PAPER, unit="ms")
    arch = ragged.decode([2] * 22)
    assert table.estimate_ms(arch) == whole.estimate_ms(arch)
    rows = [line for line in csv_lines() if not line.startswith("2,skip")]
    with pytest.raises(ValueError, match="skip is missing; .* space.skip_at_shape_change=false"):
        read("csv", write_csv(tmp_path, rows), space=PAPER)


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        (
            "csv",
            b"[[1, 2],\n [1]]",
            "is json, and format=csv reads text; json files are read by format=hwnasbench",
        ),
        ("csv", HELP.read_bytes(), r"is a zip archive \(npz\), and format=csv reads text; .* by format=help"),
        ("hwnasbench", HELP.read_bytes(), r"is a zip archive \(npz\), and format=hwnasbench reads json"),
        ("ofa", HELP.read_bytes(), "is a zip archive"),
        ("help", b"a,b,c", "is text, and format=help reads archive"),
        ("csv", b"position,candidate,ms\n1,k3_e1,\xff", "not text in utf-8 .* save it as UTF-8"),
        ("hwnasbench", b"[1]", "not a HW-NAS-Bench FBNet table"),
        ("hwnasbench", b'{"units":"ms","devices":{"a":{"table_ms":[],"base_ms":1}},"ops":[],"layers":[]}', "is empty"),
        ("single_path", b'{"1": {"0": [1]}}', r"block 1, k3_e3 is '\[1\]', which is not a number"),
        ("single_path", b'{"1": {"0": "x"}}', "block 1, k3_e3 is 'x', which is not a number"),
        ("text", b"", "0 lines of numbers"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, form: str, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read(form, tmp_path / "file", source="a", unit="ms")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="is a folder|no .yaml file in this folder"):
        read(form, tmp_path)


def test_rows_of_a_space_with_widths_there_and_back(tmp_path: Path) -> None:
    space = rexnet(16, 10, 1, widths=(0.2, 0.4), firsts=(8, 16))
    path = tmp_path / "rows.csv"
    count = write_layers(space, path)
    lines = path.read_text().splitlines()
    assert len(lines) == count + 2  # a header, and what no layer takes
    filled = [lines[0], *(line + "0.25" for line in lines[1:-1]), lines[-1].replace(",0", ",1.5")]
    path.write_text("\n".join(filled))
    table = read("layers", path, space=space)
    arch = space.decode([0] * len(space.variables))
    priced = sum(table.row(layer, shape) is not None for layer, shape in arch.walk())
    assert table.estimate_ms(arch) == pytest.approx(1.5 + 0.25 * priced)
    assert not table.is_of_this_machine
    for change, message in [
        (filled[:-2] + filled[-1:], "1 rows are missing, the first is"),
        ([*filled, filled[1]], "is listed twice, first in line 2"),
        ([*filled[:1], lines[1], *filled[2:]], "line 2 has the time ''"),
        ([*filled[:1], filled[1].replace("x16", "x17"), *filled[2:]], "line 2: rexnet has no such layer at this input"),
        ([*filled, "a,[[,3x4x5,1"], "has no such layer"),
        ([line.replace("0.25", "1e9") for line in filled], "give the right unit"),
    ]:
        path.write_text("\n".join(change))
        with pytest.raises(ValueError, match=message):
            read("layers", path, space=space)
    with pytest.raises(ValueError, match="exists; name a new file"):
        write_layers(space, path)


def test_proxylessnas(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(PROXYLESS)
    table = read("proxylessnas", tmp_path / "t.yaml")
    arch = Arch(
        224,
        (
            (ConvBNAct(32, 3, 2, act="relu6"),),
            (DepthwiseSeparable(16, act="relu6", residual=False),),
            (InvertedResidual(24, 5, 2, 3.0, act="relu6", residual=False),),
            (ConvBNAct(1280, act="relu6"), Classifier(1000)),
        ),
    )
    assert table.estimate_ms(arch) == pytest.approx(16.8)
    assert next(row for row in table.rows_ if row.ms == 4.0).spread_ms == 0.5


def test_ofa(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(OFA)
    table = read("ofa", tmp_path / "a.yaml")
    se = SqueezeExcite(of="expanded", gate="hard_sigmoid")
    arch = Arch(
        224,
        (
            (ConvBNAct(24, 3, 2, act="hard_swish"),),
            (InvertedResidual(32, 5, 2, 4.0, act="hard_swish", se=se, residual=False),),
            (ConvBNAct(1152, act="hard_swish"), PooledConv(1536), Classifier(1000)),
        ),
    )
    assert table.estimate_ms(arch) == pytest.approx(1 + 6 + 0.7 + 0.75 + 0.6)
    other = (
        OFA.replace("mean: 0.6", "mean: 0.8")
        .replace("56x56", "64x64")
        .replace("112x112", "128x128")
        .replace("224x224", "256x256")
    )
    (tmp_path / "b.yaml").write_text(other)
    assert read("ofa", tmp_path).estimate_ms(arch) == pytest.approx(9.05 + 0.1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mean: 7.5", "mean: -7.5", "row 'expanded_conv-input:112x112x16.*has mean -7.5"),
        ("mean: 7.5", "median: 7.5", "row 'expanded_conv-input:112x112x16.*lacks a number"),
        ("Conv_1-input", "Conv_1-in", "row 'Conv_1-in.*no block of that form"),
        ("output:56x56x24-", "output:50x50x24-", "cannot give"),
        ("{count: 10, mean: 3.0", "{count: 10, mean: ", "row 'Conv_1-input"),
        ("Logits", "  Logits", "not YAML"),
    ],
)
def test_bad_block_rows_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "t.yaml").write_text(PROXYLESS.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read("proxylessnas", tmp_path / "t.yaml")


def test_importing_needs_a_name_a_file_and_a_known_format(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name its device"):
        import_file("csv", LUT, space=CIFAR, device=Device())
    with pytest.raises(ValueError, match="no file at"):
        read("csv", tmp_path / "none.csv")
    with pytest.raises(ValueError, match=f"one of {', '.join(FORMATS)}"):
        read("xml", LUT)
    with pytest.raises(ValueError, match=r"this table is for space.resolution=32"):
        read("hwnasbench", LUT, space=fbnet(32, num_classes=10, width=0.5), source="fpga")
