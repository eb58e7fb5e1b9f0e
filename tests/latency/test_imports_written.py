"""Tables that people write: text, CSV and spreadsheets, with their units, devices and mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.latency.imports.cells import Cell, check_rate
from tests.latency.foreign_tables import (
    LUT,
    PAPER,
    csv_lines,
    read,
    text_table,
    write,
    write_csv,
)

# -- text and CSV, written here


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
    nothing = [["0"] * len(line) for line in text_table()]
    with pytest.raises(ValueError, match="all times are 0; write them with more digits, or in a smaller unit"):
        read("text", write(tmp_path, nothing), space=PAPER, unit="ms")
    path = write(tmp_path, text_table())
    with pytest.raises(ValueError, match="unknown unit 'ns'"):
        read("text", path, space=PAPER, unit="ns")
    with pytest.raises(ValueError, match="the file states 'ms', unit=us contradicts it"):
        read("hwnasbench", LUT, source="fpga", unit="us")


def test_a_batch_is_so_many_times_the_work() -> None:
    """256 images by a device of 10^9 multiply-adds a second: as the time of one image, nothing is that slow."""
    layer, shape = next((layer, shape) for layer, shape in PAPER.fixed() if layer.cost(shape).macs)
    times = {(layer, shape): [Cell(256 * layer.cost(shape).macs / 1e6, "line 2")]}
    check_rate(times, 256)
    with pytest.raises(ValueError, match="multiply-adds a second; give the right unit"):
        check_rate(times, 1)


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


def test_devices_of_one_file_are_not_mixed(tmp_path: Path) -> None:
    path = write_csv(tmp_path, csv_lines(device="a") + csv_lines(device="b")[1:])
    with pytest.raises(ValueError, match="several devices, which are never mixed"):
        read("csv", path, space=PAPER)
    assert read("csv", path, space=PAPER, source="b").offset_ms > 0
