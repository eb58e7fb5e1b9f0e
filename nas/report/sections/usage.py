"""How the network is used: the lines to copy."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from nas.networks import CONFIG
from nas.terminal.configuration.override_text import command
from nas.terminal.next_command import data_settings
from search_spaces.arch import Arch


def usage(run: Path, result: Mapping[str, Any], data: Any) -> str:
    """Python for a prediction and commands for what comes next. Empty where the network has no weights.

    `data`: the card of the data in the run's settings, if it has one.
    """
    model = run / "model"
    if not (model / CONFIG).is_file():
        return ""
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
    return (
        f"<h2>Use it</h2><div class='panel'><pre>{escape(chr(10).join(lines))}</pre><pre>{escape(listed)}</pre>"
        "<p class='soft'>How images are prepared, class names and figures: "
        f"{escape(str(model / 'README.md'))}</p></div>"
    )
