"""How the network is used and the run repeated: the lines to copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nas.networks import CONFIG
from nas.report.parts import Cell, Line, Section, Table
from nas.terminal.configuration.override_text import command
from nas.terminal.next_command import data_settings
from search_spaces.arch import Arch


@dataclass(frozen=True)
class Usage(Section):
    """Lines to copy, and the file that says more."""

    python: str
    commands: str
    readme: str

    heading, template = "Use it", "usage.html"


def usage(run: Path, result: Mapping[str, Any], data: Any) -> Usage | None:
    """Python for a prediction and commands for what comes next. None where the network has no weights.

    `data`: the card of the data in the run's settings, if it has one.
    """
    model = run / "model"
    if not (model / CONFIG).is_file():
        return None
    arch = Arch.load(run / "arch.json")
    channels, height, width = arch.input_shape
    named = isinstance(data, Mapping) and isinstance(data.get("_target_"), str)
    lines = [
        "import nas",
        f"model = nas.create_model({str(model)!r}).eval()",
        f"probabilities = model(images).softmax(1)  # images: (N, {channels}, {height}, {width}), normalised",
    ]
    commands = [
        " ".join(filter(None, (command("evaluate", {"arch": str(model)}), data_settings(data if named else None)))),
        command("export", {"arch": str(model), "format": "onnx"}),
        command("export", {"arch": str(model), "format": "python"}),
    ]
    what = ["accuracy and latency again", "a file for a device", "a file that torch alone runs, without this package"]
    if result["space"] is not None:
        commands.append(command("derive", {"run": str(run), "count": 3}))
        what.append("other networks of the same search")
    width_of = max(len(line) for line in commands)
    listed = "\n".join(f"{line:{width_of}}  # {said}" for line, said in zip(commands, what, strict=True))
    return Usage("\n".join(lines), listed, str(model / "README.md"))


@dataclass(frozen=True)
class Repeat(Section):
    """The command, those that continued it, and where it ran."""

    commands: Sequence[str]
    facts: Table
    settings: str

    heading, template = "To repeat it", "repeat.html"


def repeat(settings: Mapping[str, Any], environment: Mapping[str, Any]) -> Repeat:
    """From the settings of a run and its environment, as `read_environment` gives it."""
    cores = f"{environment['usable_cpus']} of {environment['cpu_count']} cores"
    facts = {
        "commit": environment["git_commit"],
        "python": environment["python"],
        **environment["packages"],
        "system": environment["platform"],
        "processor": environment["cpu"] and f"{environment['cpu']}, {cores}",
        "gpu": environment["gpu"],
    }
    return Repeat(
        commands=[environment["command"] or "unknown", *(resumed["command"] for resumed in environment["resumed"])],
        facts=Table([], [Line([Cell(name), Cell(str(value))]) for name, value in facts.items() if value]),
        settings=yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True),
    )
