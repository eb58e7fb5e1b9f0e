"""A phone, played by a second interpreter on this machine that has numpy and onnxruntime and nothing else."""

from __future__ import annotations

import subprocess
import venv
from importlib import metadata
from pathlib import Path

PACKAGES = ("numpy", "onnxruntime")


def phone(folder: Path) -> Path:
    """The interpreter of a new environment in `folder` that holds links to `PACKAGES` as they are installed here."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in PACKAGES:
        for top in {file.parts[0] for file in metadata.files(name) or [] if file.parts[0] != ".."}:
            (packages / top).symlink_to(Path(str(metadata.distribution(name).locate_file(top))))
    return folder / "bin" / "python"


def measure_on(python: Path, kit: Path) -> None:
    """What the owner of the phone does with a kit."""
    only = [str(python), "-c", "import importlib.util as i; assert not any(map(i.find_spec, ('torch', 'onnx', 'nas')))"]
    for command in (only, [str(python), "measure.py"]):
        done = subprocess.run(command, cwd=kit, env={}, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
