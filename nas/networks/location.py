"""Where a network lies that is given by name or path, found before anything of it is read: torch takes seconds."""

from __future__ import annotations

from pathlib import Path

from nas.networks import ARCH, CONFIG
from search_spaces import zoo

LOCAL = "local-dir:"


def locate(source: str) -> Path | None:
    """The model folder or arch file that `source` means; None for a published name and for the text of an arch.

    A run directory holds its model folder as `model`. Raises `ValueError` where there is nothing of that name.
    """
    if source.lstrip().startswith("{"):
        return None
    local = source.startswith(LOCAL)
    path = Path(source.removeprefix(LOCAL))
    if path.is_dir():
        for folder in (path, path / "model"):
            if (folder / CONFIG).is_file():
                return folder
        if local or not (path / ARCH).is_file():
            raise ValueError(f"{path} holds neither {CONFIG} nor {ARCH}; it is not a model folder")
        return path / ARCH
    if local:
        raise ValueError(f"no model folder at {path}")
    if path.is_file():
        return path
    name = source.partition(".")[0]
    if name in zoo.FAMILY_OF and not source.endswith(".json"):
        return None
    if source.endswith(".json") or "/" in source or "\\" in source:
        raise ValueError(f"no arch file or model folder at {path}")
    zoo.published(name)  # raises, naming the nearest names
    return None


def check_weights(path: str | None) -> None:
    """Raise `ValueError` where there is nothing at `path`, before torch is imported to read it; None is fine."""
    if path is not None and not Path(path).exists():
        raise ValueError(f"no weights file at {path}")


NO_TEACHER = "none"  # of a derivation, whose run may have one


def check_teacher(name: str | None, weights: str | None) -> None:
    """Raise `ValueError` for a teacher without weights, for weights of none, and where there is nothing at a path.

    Names are known by timm too, which takes seconds: whether there is a network of that name is not looked at.
    """
    if name is None or name == NO_TEACHER:
        if weights is not None:
            raise ValueError(f"teacher_weights={weights} are of no network: give teacher=, a published or timm's name")
        return
    check_weights(weights)
    if "/" in name or name.endswith(".json"):
        locate(name)
    elif weights is None and not Path(name.removeprefix(LOCAL)).exists():
        raise no_weights(name)


def no_weights(teacher: str) -> ValueError:
    """That `teacher` has none."""
    return ValueError(f"the teacher {teacher} has no weights: give teacher_weights=<file>, or a model folder or run")


def check_has_weights(name: str, checkpoint: str | None, others: str) -> None:
    """Raise `ValueError` for a network that is no model folder and has no `checkpoint`; `others`: what else gives it
    weights."""
    if checkpoint is None and ((path := locate(name)) is None or not path.is_dir()):
        raise ValueError(f"no weights for {name}: give checkpoint=<file>, {others}")
