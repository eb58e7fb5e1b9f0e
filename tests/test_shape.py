"""The shape of the code: short files, few parameters, and configurations that end where typed settings begin."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("search_spaces", "predictors", "nas")
FILES = sorted(path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LINES, PARAMETERS = 300, 6
LONG: set[str] = set()
MANY = {  # keyword arguments: those of another library's interface or the keys of a card
    "search_spaces/from_card.py": {"from_card"},  # the keys of a card
    **{  # the keys of the cards of spaces
        f"search_spaces/families/{module}.py": names
        for module, names in {
            "fbnet": {"fbnet"},
            "single_path": {"single_path"},
            "fbnetv3/space": {"fbnetv3"},
            "mobile/space": {"mobile"},
            "mobilenetv2/space": {"mobilenetv2", "mobilenetv2_layerwise"},
            "rexnet/space": {"rexnet"},
        }.items()
    },
    "nas/data/folder.py": {"imagefolder"},  # the keys of a card
    "nas/data/shards.py": {"shards"},  # the keys of a card
    "nas/data/huggingface.py": {"huggingface"},  # the keys of a card
    "nas/data/arrays.py": {"npz"},  # the keys of a card
    "nas/methods/predictor.py": {"__init__"},  # the keys of a card
    "nas/latency/measuring/onnx_graph.py": {"_conv2d", "_batch_norm", "_hardtanh", "_pad"},  # of torch's operations
    "nas/networks/creation.py": {"create_model", "build_for_timm", "_build"},  # timm's interface
}
READERS = ("from_config",)  # what turns a configuration into typed settings
READERS_OF_ALL = ("nas/terminal/",)  # the command line
CONFIGURATIONS = {"config", "cfg"}


def functions(source: str) -> Iterator[ast.FunctionDef]:
    yield from (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))


def parameters(function: ast.FunctionDef) -> list[str]:
    found = function.args
    names = [argument.arg for argument in (*found.posonlyargs, *found.args, *found.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def looked_up(source: str) -> list[str]:
    """`config[...]`, `cfg[...]` and their `.get(...)` outside of entry points and of what reads configurations."""
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef) and (
            node.name in READERS or any("entry(" in ast.unparse(decorator) for decorator in node.decorator_list)
        ):
            return
        looked = node.value if isinstance(node, ast.Subscript) else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            looked = node.func.value
        if isinstance(looked, ast.Name) and looked.id in CONFIGURATIONS:
            found.append(f"line {looked.lineno}: {ast.unparse(node)}")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return found


def test_files_are_short() -> None:
    long = {file for file in FILES if len((ROOT / file).read_text().splitlines()) > LINES}
    assert long <= LONG, sorted(long - LONG)


def test_functions_take_few_parameters() -> None:
    many = [
        f"{file}: {function.name} takes {len(parameters(function))}"
        for file in FILES
        for function in functions((ROOT / file).read_text())
        if len(parameters(function)) > PARAMETERS and function.name not in MANY.get(file, set())
    ]
    assert not many, "\n".join(many)


def test_no_configuration_below_the_entry_points() -> None:
    found = {
        file: lines
        for file in FILES
        if not file.startswith(READERS_OF_ALL) and (lines := looked_up((ROOT / file).read_text()))
    }
    assert not found


def test_the_search_for_configurations_sees_them() -> None:
    source = (
        "def f(config, cfg):\n    return config['a'], cfg.get('b')\ndef from_config(config):\n    return config['a']\n"
    )
    assert [line.partition(": ")[2] for line in looked_up(source)] == ["config['a']", "cfg.get('b')"]


def test_entry_points_are_short() -> None:
    for name in ("search", "derive", "train", "latency"):
        assert len((ROOT / "nas" / name / "__main__.py").read_text().splitlines()) < 40, name


def test_notes_begin_as_the_docs_say() -> None:
    """Lines that are worth a look begin with NOTE: (docs/instability.md), whatever wrote them."""
    otherwise = re.compile(r"""["'](?!NOTE)(?i:note): """)
    assert [name for name in FILES if otherwise.search((ROOT / name).read_text(encoding="utf-8"))] == []
