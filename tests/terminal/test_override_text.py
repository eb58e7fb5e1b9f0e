"""What is printed is what is read: through the shell's quoting, Hydra's grammar and OmegaConf's interpolation."""

from __future__ import annotations

import random
import shlex
from typing import Any

import pytest

from nas.terminal.configuration.composition import compose
from nas.terminal.configuration.override_text import command, value_text

SIGNS = " =()',#[]{}$\\\"~*?&;|<>!%@:+-._/éßñ日\tab5\n"


def read_back(text: str) -> Any:
    """What a command pasted into a shell has as its `arch`."""
    words = shlex.split(text)
    assert words[:3] == ["python", "-m", "nas.train"]
    return compose("train", words[3:])["arch"]


def paths(count: int) -> list[str]:
    rng = random.Random(0)
    drawn = ["".join(rng.choices(SIGNS, k=rng.randint(1, 12))) for _ in range(count)]
    return [path for path in drawn if path != "???"]


@pytest.mark.parametrize(
    "path",
    [
        *(
            "runs/a b",
            "a=b",
            "a(b)",
            "it's",
            "a,b",
            "a#b",
            "[a]",
            "{a: b}",
            "café/ü",
            "5",
            "1e5",
            "5 5",
            "null",
            "True",
            "~/x",
        ),
        *("${seed}", "a\\${seed}", "back\\", "a\\'b", "a:b", " a ", "'a'", "-x", "x/.y_z-1"),
    ],
)
def test_any_path_survives_the_shell_and_hydra(path: str) -> None:
    assert read_back(command("train", {"arch": path})) == path


def test_a_hundred_more_paths() -> None:
    """Twenty of them in a command."""
    drawn = paths(100)
    for begin in range(0, len(drawn), 20):
        more = {f"++recipe.x{i}": path for i, path in enumerate(drawn[begin : begin + 20])}
        words = shlex.split(command("train", {"arch": "x", **more}))
        recipe = compose("train", words[3:])["recipe"]
        assert [recipe[f"x{i}"] for i in range(len(more))] == list(more.values())


def test_plain_values_stay_readable() -> None:
    text = command("train", {"arch": "runs/a/arch.json", "seed": 3}, ["--config-dir", "my cards"])
    assert text == "python -m nas.train --config-dir 'my cards' arch=runs/a/arch.json seed=3"


@pytest.mark.parametrize("value", [None, True, 3, 1e-5, ["a b", 1, None], {"a": [0.5, "x,y"]}, []])
def test_values_of_every_kind(value: Any) -> None:
    found = compose("train", ["arch=x", f"++recipe.x={value_text(value)}"])["recipe"]["x"]
    assert found == value
