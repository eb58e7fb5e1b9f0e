"""Public tables: exact prices, and refusals that name the row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.latency.device import Device
from nas.latency.imports import FORMATS, Reading, import_file
from nas.latency.imports.layers import write_layers
from nas.latency.imports.positions import SINGLE_PATH_REST_MS
from nas.latency.tables.table import LatencyTable
from search_spaces.additive import price
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, PooledConv, SqueezeExcite
from search_spaces.families.fbnet import fbnet
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path

DATA = Path(__file__).parents[1] / "fixtures"
LUT = DATA / "hwnasbench-fbnet" / "fbnet_cifar100_lut.json"
HELP = DATA / "help-fbnet" / "fbnet_latency.npz"
SINGLE_PATH = DATA / "single-path-nas" / "pixel1_runtime_model.json"
CIFAR = fbnet(32, num_classes=100, head_channels=1504)
PAPER = fbnet(224)
BOARD = Device(name="board")
SUMS = ("pixel3", "raspi4", "eyeriss", "fpga")


def read(form: str, path: Path, space=CIFAR, **options) -> LatencyTable:
    return import_file(form, path, space=space, device=BOARD, reading=Reading(**options))


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


# -- text and CSV, written here


def text_table(change=lambda lines: None, header: str = "") -> list[list[str]]:
    """A consistent text table of the paper geometry: the time follows multiply-adds; leaving out costs 0.02 ms."""
    lines = []
    for position in PAPER.positions:
        macs = [layer.cost(position.shape).macs for layer in position.candidates]
        lines.append([f"{0.02 + m * 1e-6:.9f}" for m in macs])
    change(lines)
    return lines


def write(tmp_path: Path, lines: list[list[str]], header: str = "", name: str = "table.txt") -> Path:
    path = tmp_path / name
    path.write_text(header + "\n".join(" ".join(line) for line in lines) + "\n")
    return path


def test_text_with_and_without_header(tmp_path: Path) -> None:
    lines = text_table()
    plain = read("text", write(tmp_path, lines), space=PAPER, unit="ms")
    arch = PAPER.decode([2] * 22)
    searched = sum(layer.cost(shape).macs for layer, shape in arch.walk()) - sum(
        layer.cost(shape).macs for layer, shape in PAPER.fixed()
    )
    assert plain.estimate_ms(arch) == pytest.approx(22 * 0.02 + searched * 1e-6, rel=1e-6)
    header = "ir_k3_e1 ir_k3_s2 ir_k3_e3 ir_k3_e6 ir_k5_e1 ir_k5_s2 ir_k5_e3 ir_k5_e6 skip\n"
    in_us = [[str(1000 * float(word)) for word in line] for line in lines]
    headed = read("text", write(tmp_path, in_us, header), space=PAPER, unit="us")
    assert headed.estimate_ms(arch) == pytest.approx(plain.estimate_ms(arch), rel=1e-9)
    assert headed.proof is None
    assert headed.margin == 0


def put(row: int, column: int, word: str):
    def change(lines: list[list[str]]) -> None:
        lines[row][column] = word

    return change


@pytest.mark.parametrize(
    ("change", "message", "repairable"),
    [
        (put(3, 2, "-1.5"), r"line 4 \(layer 4\), k3_e3 is -1.5 ms", True),
        (put(3, 2, "nan"), r"line 4 \(layer 4\), k3_e3 is missing", True),
        (put(3, 2, "inf"), r"line 4 \(layer 4\), k3_e3 is inf ms", True),
        (put(3, 2, "99"), r"line 4 \(layer 4\), k3_e3 is 98.98 ms, but the same layer at the same input is", True),
        (put(0, 2, "-1"), r"line 1 \(layer 1\), k3_e3 is -1 ms; no other row has the same layer and input", False),
        (put(2, 8, "nan"), r"line 3 \(layer 3\), skip is missing; no other row has the same", False),
        (put(3, 2, "l.5"), r"line 4 \(layer 4\), k3_e3 is 'l.5', which is not a number", False),
        (put(1, 8, "-"), r"line 2 \(layer 2\), skip is missing; .* needs space.skip_at_shape_change=false", False),
        (put(3, 2, "0.01"), r"line 4 \(layer 4\), k3_e3 is 0.01 ms, less than leaving the layer out", False),
        (lambda lines: lines[6].pop(), r"line 7 \(layer 7\) has 8 numbers instead of 9", False),
        (lambda lines: lines.pop(), "21 lines of numbers, but fbnet has 22 positions", False),
    ],
)
def test_bad_rows_are_named_and_repaired_only_on_request(
    tmp_path: Path, change, message: str, repairable: bool
) -> None:
    path = write(tmp_path, text_table(change))
    with pytest.raises(ValueError, match=message) as caught:
        read("text", path, space=PAPER, unit="ms")
    assert ("repair=average" in str(caught.value)) == repairable
    if repairable:
        table = read("text", path, space=PAPER, unit="ms", repair=True)
        assert any("repaired" in note and "line 4" in note for note in table.calibration["notes"])
    else:
        with pytest.raises(ValueError):
            read("text", path, space=PAPER, unit="ms", repair=True)


def test_wrong_units_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, text_table())
    with pytest.raises(ValueError, match="does not state its unit"):
        read("text", path, space=PAPER)
    with pytest.raises(ValueError, match="multiply-adds a second"):
        read("text", path, space=PAPER, unit="s")
    with pytest.raises(ValueError, match="unknown unit 'ns'"):
        read("text", path, space=PAPER, unit="ns")
    with pytest.raises(ValueError, match="the file states 'ms', unit=us contradicts it"):
        read("hwnasbench", LUT, source="fpga", unit="us")


def csv_lines(unit: str = "us", device: str = "") -> list[str]:
    lines = [f"position,candidate,{unit}" + (",device" if device else "")]
    tail = f",{device}" if device else ""
    lines.append(f"fixed,stem,150{tail}")
    for i, position in enumerate(PAPER.positions):
        for layer in position.candidates:
            lines.append(f"{i + 1},{layer.label},{layer.cost(position.shape).macs * 1e-4}{tail}")
    return lines


def write_csv(tmp_path: Path, lines: list[str]) -> Path:
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "table.csv"


def test_csv(tmp_path: Path) -> None:
    table = read("csv", write_csv(tmp_path, csv_lines()), space=PAPER)
    arch = PAPER.decode([8] * 22)
    assert table.estimate_ms(arch) == pytest.approx(
        0.15 + 1e-7 * sum(layer.cost(shape).macs for layer, shape in list(arch.walk())[1:-2]), rel=1e-6
    )
    assert table.environment["imported"] == {"file": "table.csv", "format": "csv", "source": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.__setitem__(5, "1,k9_e1,3"), r"line 6 \(1, k9_e1\): the candidates of this position are"),
        (lambda lines: lines.__setitem__(5, "77,k3_e1,3"), r"line 6 \(77, k3_e1\): fbnet has no such position"),
        (lambda lines: lines.__setitem__(5, lines[4]), r"line 6 .* is listed twice, first in line 5"),
        (lambda lines: lines.__setitem__(5, "1,k3_e6"), r"line 6 \(1, k3_e6\) has another number of columns"),
        (lambda lines: lines.pop(5), r"stage1.0 \(layer 1\), k3_e6 is missing"),
        (lambda lines: lines.__setitem__(0, "position,candidate,us,us"), "the column 'us' twice"),
        (lambda lines: lines.__setitem__(5, '1,k3_e6,"1,234"'), r"numbers with commas \('1,234'\) and with points"),
        (lambda lines: lines.__setitem__(5, "1,k3_e6,fast"), r"line 6 \(1, k3_e6\) is 'fast', which is not a number"),
        (lambda lines: lines.clear(), "got an empty file"),
        (lambda lines: lines.__setitem__(0, "\0" + lines[0]), "null characters"),
        (lambda lines: lines.__setitem__(1, "fixed,stem,-3"), r"line 2 \(fixed, stem\) is '-3'"),
        (lambda lines: lines.__setitem__(0, "position,candidate,hours"), "expected the columns"),
    ],
)
def test_bad_csv_is_refused(tmp_path: Path, change, message: str) -> None:
    lines = csv_lines()
    change(lines)
    with pytest.raises(ValueError, match=message):
        read("csv", write_csv(tmp_path, lines), space=PAPER)


def spreadsheet(lines: list[str]) -> list[str]:
    return [line.replace(",", ";").replace(".", ",") for line in lines]


def quoted(lines: list[str]) -> list[str]:
    """Decimal commas in quotes."""
    return [",".join(f'"{cell.replace(".", ",")}"' for cell in line.split(",")) for line in lines]


@pytest.mark.parametrize(
    ("change", "encoding"),
    [
        (lambda lines: lines, "utf-8-sig"),
        (lambda lines: lines, "utf-16"),
        (spreadsheet, "utf-8-sig"),
        (quoted, "utf-8"),
        (lambda lines: [line.replace(",", "\t") for line in lines], "utf-8"),
        (
            lambda lines: ["# by hand", "", *lines[:5], "# a comment, with, commas, in it", *lines[5:]],
            "ascii",
        ),
        (lambda lines: [line.replace(",", " , ") for line in lines], "ascii"),
    ],
)
def test_csv_as_spreadsheets_write_it(tmp_path: Path, change, encoding: str) -> None:
    lines = [line if i == 0 else line + ".5" * ("." not in line) for i, line in enumerate(csv_lines())]
    plain = read("csv", write_csv(tmp_path, lines), space=PAPER)
    (tmp_path / "table.csv").write_bytes(("\r\n".join(change(lines)) + "\r\n").encode(encoding))
    assert read("csv", tmp_path / "table.csv", space=PAPER) == plain


def test_commas_that_may_part_thousands_are_refused(tmp_path: Path) -> None:
    lines = [line if i == 0 else ";".join([*line.split(",")[:2], "1,234"]) for i, line in enumerate(csv_lines())]
    lines[0] = lines[0].replace(",", ";")
    with pytest.raises(ValueError, match=r"'1,234' could be a decimal comma or part thousands"):
        read("csv", write_csv(tmp_path, lines), space=PAPER)


def test_text_with_semicolons_comments_and_a_mark(tmp_path: Path) -> None:
    lines = text_table()
    plain = read("text", write(tmp_path, lines), space=PAPER, unit="ms")
    text = "# measured by hand\n" + "\n".join(";".join(word.replace(".", ",") for word in line) for line in lines)
    (tmp_path / "table.txt").write_text(text, encoding="utf-8-sig")
    assert read("text", tmp_path / "table.txt", space=PAPER, unit="ms") == plain


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


def test_devices_of_one_file_are_not_mixed(tmp_path: Path) -> None:
    path = write_csv(tmp_path, csv_lines(device="a") + csv_lines(device="b")[1:])
    with pytest.raises(ValueError, match="several devices, which are never mixed"):
        read("csv", path, space=PAPER)
    assert read("csv", path, space=PAPER, source="b").offset_ms > 0


# -- block tables, written here in the two YAML forms

PROXYLESS = """
Conv-input:224x224x3-output:112x112x32: {count: 10, mean: 4.0, var: 0.25}
expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0: {count: 10, mean: 2.0, var: 0.0}
expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:5-stride:2-idskip:0: {count: 10, mean: 7.5, var: 0.1}
Conv_1-input:56x56x24-output:56x56x1280: {count: 10, mean: 3.0, var: 0.2}
Logits-input:56x56x1280-output:1000: {count: 10, mean: 0.3, var: 0.1}
"""
OFA = """
Conv-input:224x224x3-output:112x112x24: {count: 10, mean: 1.0, std: 0.1}
expanded_conv-input:112x112x24-output:56x56x32-expand:96-kernel:5-stride:2-idskip:0-se:1-hs:1:
  {count: 5, mean: 6, std: 0}
Conv_1-input:56x56x32-output:56x56x1152: {count: 10, mean: 0.7, std: 0.02}
AvgPool2D-input:56x56x1152-output:1x1x1152: {count: 10, mean: 0.25, std: 0.02}
Conv_2-input:1x1x1152-output:1x1x1536: {count: 10, mean: 0.5, std: 0.02}
Logits-input:1x1x1536-output:1000: {count: 10, mean: 0.6, std: 0.02}
"""


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
