"""Every card and every command's configuration: composes, fits the target's signature, and explains itself."""

from __future__ import annotations

import importlib
import inspect
import itertools
from pathlib import Path

import pytest
import yaml

from nas.terminal.command_help import card_groups, documented_keys, options
from nas.terminal.configuration.cards import argument_types, find_target, parameters
from nas.terminal.configuration.composition import CONF, compose
from search_spaces.plain_data.annotations import check_type

COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml") if path.stem != "command")
CARDS = sorted(path.relative_to(CONF).as_posix() for path in CONF.glob("*/*.yaml"))
FROM_THE_DATA = {"resolution", "num_classes", "in_channels"}  # null in a space's card: the command fills them in
OBJECT_CARDS = [card for card in CARDS if not card.startswith("experiment/")]


@pytest.mark.parametrize("card", OBJECT_CARDS)
def test_card_fits_its_target(card: str) -> None:
    values = yaml.safe_load((CONF / card).read_text())
    target = find_target(values.pop("_target_"), card)
    if card.startswith("space/"):  # for the command line: the method a search of this space takes by default
        assert f"{values.pop('method', 'dnas')}.yaml" in {path.name for path in (CONF / "method").iterdir()}
    known, types = parameters(target), argument_types(target)
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values())
    for key, value in values.items():
        assert open_ended or key in known, f"{card} gives {key}, which {target.__name__} does not take"
        if value is None and card.startswith("space/") and key in FROM_THE_DATA:
            continue
        if not (isinstance(value, dict) and "_target_" in value) and "${" not in str(value) and value != "???":
            check_type(value, types.get(key, object), f"{card}: {key}")


@pytest.mark.parametrize("command", COMMANDS)
def test_command_composes_with_every_card(command: str) -> None:
    assert "debug" in compose(command, []), f"conf/{command}.yaml must list `- command` in its defaults"
    groups = {group: options(group) for group in card_groups(command)}
    for card in groups.pop("experiment", []):  # which chooses cards of other groups itself
        compose(command, [f"experiment={card}"])
    for chosen in itertools.zip_longest(*groups.values()):  # one card of each group at a time
        given = {group: card for group, card in zip(groups, chosen, strict=True) if card is not None}
        assert set(given) <= set(compose(command, [f"{group}={card}" for group, card in given.items()])), given


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_key(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    package = (CONF.parent / "nas" / command).is_dir()
    importlib.import_module(f"nas.{command}{'.__main__' if package else ''}").main(["--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"python -m nas.{command} ")
    for group in card_groups(command):
        assert f"{group} = " in text
        for card in options(group):
            assert card in text
    keys = documented_keys(CONF / f"{command}.yaml")
    assert len(text.split("\n\n")[1].split()) >= 6, f"nas/{command}.py says too little about what it does"
    for key, _, note in keys:
        assert f"  {key}=" in text
        assert note in text
    missing = [key for key, _, note in keys if not note]
    assert not missing, f"conf/{command}.yaml does not say what {missing} mean"


def test_comments_are_found(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "defaults:\n  - command\n\na: 1  # one\n# more\n# lines\nb: null\n# above\nc:\n  d: [1, 2]  # deep\n"
        "# two\n# lines\n\n# of e\ne: 1\n_target_: e.f\n"
    )
    found = [(key, note) for key, _, note in documented_keys(path, "p.")]
    assert found == [("p.a", "one more lines"), ("p.b", ""), ("p.c.d", "deep two lines"), ("p.e", "of e")]


def test_comments_of_two_lines_stay_with_their_key() -> None:
    notes = {key: note for key, _, note in documented_keys(CONF / "search.yaml")}
    assert notes["derive.contest"].endswith("validation images judge, else none")
    assert notes["derive.reduction"].startswith("of a contest: after each rung")
