"""Whatever is reused knows the code of blocks of one's own: trainings, models, tables, kits."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.data.card import DataSource
from nas.data.digits import digits
from nas.latency.device import Device
from nas.latency.devices.ssh import SshDevice, _is_kit_of
from nas.latency.devices.table import TableDevice
from nas.latency.kits.of_space import import_kit, write_kit
from nas.latency.tables.reuse import make_room, usable
from nas.latency.tables.table import LatencyTable, table_path
from nas.methods.candidates.executors.local import LocalExecutor
from nas.networks import model_folder
from nas.networks.creation import create_model
from nas.runs.files import write_json
from nas.runs.keeping.own_code import note_code, say_other_code
from nas.search.contest.entrants import Entrant
from nas.search.contest.holding import Terms, depends_on
from nas.train import training
from nas.train.accelerator import Compute
from search_spaces.arch import own_code
from search_spaces.families.fbnet import fbnet
from search_spaces.plain_data.identity import differences
from search_spaces.plain_data.own_code import _imported, _statements, code_of
from search_spaces.recipe import Recipe
from tests.extending.cheap import cheap_space
from tests.latency.test_build import SMALL
from tests.latency.test_kit import measure
from tests.methods import gradient_task


def test_the_code_of_a_block_kind_of_ones_own_belongs_to_what_was_trained_with_it(
    folder: Path,
    mine: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A checkpoint is not gone on from with other code, and a model folder says so where it is read; comments may
    change, and what is from before may go on."""
    space, data, recipe = cheap_space(folder, mine), digits(16), Recipe(epochs=1, batch_size=512, lr=0.01)
    arch, file, checkpoint = space.decode((0, 1)), folder / "my_blocks.py", tmp_path / "train.pt"
    as_it_was, code = file.read_text(), own_code(space.table_entries())

    def train() -> None:
        network = training.build_network(arch, recipe, seed=0)
        training.train(network, data, recipe, options=training.Options(checkpoint=checkpoint))

    train()
    contest = depends_on(TERMS, [Entrant("found-1", arch, recipe)])
    model = model_folder.write(tmp_path / "model", create_model(arch))
    edited(file, f"# a comment\n{as_it_was}")
    train()
    create_model(model)
    assert "other code" not in capsys.readouterr().out
    edited(file, as_it_was.replace("torch.cat([dense,", "torch.cat([self.bn2(self.cheap(dense)),"))
    with pytest.raises(ValueError, match='train.pt belongs to something else: code is "my_blocks'):
        train()
    create_model(model)
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("was written with other code of the blocks of your own (my_blocks") == 1
    assert len(differences(contest, depends_on(TERMS, [Entrant("found-1", arch, recipe)]))) == 1
    changed = own_code(arch.walk())
    assert code and changed.keys() == code.keys() and changed != code
    assert not differences({}, changed) and len(differences(code, changed)) == 1
    monkeypatch.setattr(type(arch.layers[1]), "__module__", "__main__")  # a script, which is edited to resume
    assert own_code(arch.walk()) == {} == own_code(fbnet(16, num_classes=10).table_entries())


def test_times_that_another_device_brought_know_the_code_of_ones_own_block_kind(
    folder: Path,
    mine: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A kit holds it and says its code; its table is used with other code too, which is said, whoever goes by it."""
    space, board, file = cheap_space(folder, mine), Device(name="board"), folder / "my_blocks.py"
    kit = write_kit(space, board, tmp_path / "kit", effort=SMALL)
    _, errors = (process := measure(kit)).communicate()
    assert process.returncode == 0, errors
    table = import_kit(kit, space)
    assert table.environment["code"] == own_code(space.table_entries())["code"]
    path = table.save(table_path(tmp_path, space, board))
    by_table = TableDevice(str(table.save(tmp_path / "board.json")))
    ssh, machine = SshDevice(name="board", host="nowhere"), dict(table.environment)
    del machine["code"]
    monkeypatch.setattr(SshDevice, "about", lambda self: machine)
    assert _is_kit_of(kit, space, board, SMALL, 0) and "code" not in ssh._elsewhere(table)
    assert usable(path, space, board, 0) is not None and by_table.table(space, tmp_path)
    assert "other code" not in capsys.readouterr().out
    edited(file, file.read_text().replace("torch.cat([dense,", "torch.cat([self.bn2(self.cheap(dense)),"))
    assert usable(path, space, board, 0) is not None and by_table.table(space, tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("has the times of other code of the blocks of your own (my_blocks") == 2
    assert not _is_kit_of(kit, space, board, SMALL, 0) and 'code is "my_blocks' in ssh._elsewhere(table)


def test_code_beside_it_that_it_imports_belongs_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block's `nn.Module` may lie in another file than its kind; what was noted of the kind alone, before, holds."""
    files = {
        "own_kind": "import os\nfrom own_parts.inner import f\nif f: import own_other\ndef g(): import own_late",
        "own_parts/__init__": "",
        "own_parts/inner": "from . import deep\nf = deep.__name__",
        "own_parts/deep": "a = 1",
        "own_other": "b = 1",
        "own_late": "",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own_kind", "own_late"):
        importlib.import_module(name)
    found = code_of(["own_kind"])
    alone = found.partition(",")[0]
    there = [entry.split()[0] for entry in found.split(", ")]
    assert there == ["own_kind", "own_other", "own_parts", "own_parts.deep", "own_parts.inner"]
    edited(tmp_path / "own_parts" / "deep.py", "a = 2")
    assert "own_parts.deep" in differences({"code": found}, {"code": code_of(["own_kind"])})[0]
    assert not differences({"code": alone}, {"code": found}) and differences({"code": found}, {"code": alone})
    assert differences({"code": "none"}, {"code": alone}) == [f'code is "none", asked is "{alone}"']
    assert differences({"code": alone}, {}) == [f'code is "{alone}", asked is "none"']
    partial = f"functools 12345678, {alone}"  # of an activation that is a partial function, noted by an earlier version
    assert not differences({"code": partial}, {"code": alone}) and not differences({"code": partial[:18]}, {})
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def test_blocks_that_a_run_refused_to_go_on_with_are_not_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began, other = ({"method": "mine 1", "blocks": f"blocks {digest}"} for digest in (1, 2))
    write_json(tmp_path / "env.json", {})
    note_code(tmp_path, began)
    write_json(tmp_path / "env.json", {**json.loads((tmp_path / "env.json").read_text()), "resumed": [{}]})
    note_code(tmp_path, other)  # before what was trained is looked at
    say_other_code(tmp_path, began, "so")
    assert "NOTE" not in capsys.readouterr().out
    say_other_code(tmp_path, other, "so")
    assert "own (blocks: blocks 1; now blocks 2): so" in " ".join(capsys.readouterr().out.split())


def edited(file: Path, text: str) -> None:
    """`file` with `text`, as a process that is begun now finds it."""
    file.write_text(text)
    _statements.cache_clear()
    _imported.cache_clear()


TERMS = Terms(DataSource(gradient_task.DATA), "data", 0.2, 0, Compute("cpu", "no"), LocalExecutor(workers=1), 2)


def check_code_is_known(folder: Path, space: Any) -> None:
    """A table of `space` is of the code that its block kind had: other code is measured anew, beside it."""
    path, file = table_path(folder, space, Device()), folder / "my_blocks.py"
    as_it_was = file.read_text()
    edited(file, f"# a comment\n{as_it_was}")
    assert usable(path, space, Device(), SMALL.held_out_networks) is not None
    edited(file, as_it_was.replace("torch.cat([dense,", "torch.cat([self.bn2(self.cheap(dense)),"))
    assert 'code is "my_blocks' in LatencyTable.load(path).elsewhere
    assert usable(path, space, Device(), SMALL.held_out_networks) is None
    make_room(path, space, Device(), refresh=False)
    assert not path.exists() and list(folder.glob("*.kept-*"))
    edited(file, as_it_was)
    next(iter(folder.glob("*.kept-*"))).rename(path)
    data = json.loads(path.read_text())
    del data["environment"]["code"], data["digest"]
    path.write_text(json.dumps(data))
    assert LatencyTable.load(path, space, Device()).is_of_this_machine  # a table from before it was kept
