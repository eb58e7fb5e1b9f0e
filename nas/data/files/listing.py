"""Which files of a folder are images of which class and split; and what was left out, so that it can be said."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.files.decode import EXTENSIONS
from nas.data.files.stored import Stored
from nas.data.images import few, stratified
from nas.runs.seeding import numpy_generator

Labelled = list[tuple[Stored, int]]  # image and label
HELD_OUT = ("test", "val", "valid", "validation")
SPLIT_NAMES = {"train", "training", "test", "testing", *HELD_OUT}


@dataclass(frozen=True)
class Listing:
    """Files and labels of both splits, the classes in the order of their labels, and what a user should know."""

    train: Labelled
    test: Labelled
    names: tuple[str, ...]
    notes: tuple[str, ...]

    def of_classes(self, classes: int | Sequence[str | int] | None, seed: int) -> Listing:
        """The images of these classes alone, or of so many that `seed` draws; None: all of them.

        Labels count the classes that are left, in the order they had.
        """
        if classes is None:
            return self
        if isinstance(classes, int):
            if not 2 <= classes <= len(self.names):
                raise ValueError(f"data.classes must lie between 2 and {len(self.names)}, got {classes}")
            chosen = sorted(numpy_generator(seed, "classes").choice(len(self.names), classes, replace=False).tolist())
        else:
            classes = _called([str(name) for name in classes], self.names)  # folders may be called by numbers: [0, 1]
            unknown = [name for name in classes if name not in self.names]
            if unknown:
                raise ValueError(f"data.classes: there is no class {unknown[0]!r}; there are {few(self.names)}")
            if len(set(classes)) < 2:
                raise ValueError(f"data.classes must name 2 or more classes, got {list(classes)}")
            chosen = sorted({self.names.index(name) for name in classes})
        label = {old: new for new, old in enumerate(chosen)}
        train, test = ([(f, label[i]) for f, i in files if i in label] for files in (self.train, self.test))
        names = tuple(self.names[old] for old in chosen)
        note = f"{len(names)} of {len(self.names)} classes: {few(names)}"
        return Listing(train, test, names, (*self.notes, note))


def listing(root: Path, test_fraction: float, split_seed: int) -> Listing:
    """The images under `root`, divided as its folders say or, where they do not, `test_fraction` of each class.

    Hidden entries are not looked at. Raises `ValueError` for a layout that is none, for test images of classes that
    training has not, and for links that lead back to what is read already.
    """
    if not root.is_dir():
        raise ValueError(
            f"data.root={root} is not a directory; give one that holds train/<class>/ and test/<class>/, "
            "or <class>/ alone"
        )
    if not (root / "train").is_dir():
        return _divided(root, test_fraction, split_seed)
    held_out = [name for name in HELD_OUT if (root / name).is_dir()]
    if not held_out:
        raise ValueError(
            f"{root} has a folder train but neither {' nor '.join(HELD_OUT)}; add one, or give "
            f"data.root={root / 'train'}"
        )
    train = _classes(root / "train", root)
    used, test = next(
        ((name, found) for name in held_out if (found := _classes(root / name, root)).files), (held_out[0], None)
    )
    if test is None:
        raise ValueError(f"{root / used} has no folder with images; the test images are looked for in {used}/<class>/")
    names = train.names
    test = test.called_as(names)
    _check_count(root / "train", names)
    unknown = sorted(set(test.files) - set(names))
    if unknown:
        raise ValueError(
            f"{root / used} has images of {unknown[0]!r}, {root / 'train'} has none (its classes: "
            f"{few(names)}); add some, or remove that folder"
        )
    notes = [*train.notes, *test.notes]
    if len(held_out) > 1:
        others = " and ".join(f"{root / name}" for name in held_out if name != used)
        notes.append(f"the test split is {root / used}; {others} is not used")
    return Listing(train.labelled(names), test.labelled(names), names, tuple(notes))


def _divided(root: Path, test_fraction: float, split_seed: int) -> Listing:
    """One folder of classes, divided by `split_seed`."""
    found = _classes(root, root)
    odd = [name for name in found.names if name.lower() in SPLIT_NAMES]
    if odd:
        raise ValueError(
            f"{root} has a folder {odd[0]!r} but none called train: is it a split or a class? Call the splits train "
            "and test, or rename the class"
        )
    _check_count(root, found.names)
    files = found.labelled(found.names)
    first, second = stratified(np.array([label for _, label in files]), 1 - test_fraction, split_seed, found.names)
    return Listing([files[i] for i in first], [files[i] for i in second], found.names, tuple(found.notes))


def _called(given: Sequence[str], names: Sequence[str]) -> list[str]:
    """For each of those `given` the one of `names` that is the same text, else itself."""
    known = {unicodedata.normalize("NFC", name): name for name in reversed(names)}
    exact = set(names)
    return [name if name in exact else known.get(unicodedata.normalize("NFC", name), name) for name in given]


@dataclass(frozen=True)
class _Classes:
    """The image files of each class that has some."""

    files: dict[str, list[str]]
    notes: list[str]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.files))

    def called_as(self, names: tuple[str, ...]) -> _Classes:
        """With the very `names` for those that are the same text: file systems write an accent as one sign or two."""
        files: dict[str, list[str]] = {}
        for called, paths in zip(_called(list(self.files), names), self.files.values(), strict=True):
            files[called] = files.get(called, []) + paths
        return _Classes(files, self.notes)

    def labelled(self, names: tuple[str, ...]) -> Labelled:
        return [(path, label) for label, name in enumerate(names) for path in self.files.get(name, [])]


def _classes(folder: Path, root: Path) -> _Classes:
    files, empty, others = {}, [], []
    read = {_identity(str(place)): str(place) for place in (root, folder)}
    for name in sorted(entry.name for entry in folder.iterdir() if not _is_hidden(entry.name) and entry.is_dir()):
        images, left_out = _walk(str(folder / name), read)
        others += left_out
        if images:
            files[name] = images
        else:
            empty.append(name)
    loose = sorted(entry.name for entry in folder.iterdir() if _is_image(entry.name) and not entry.is_dir())
    notes = []
    if loose:
        notes.append(f"images in {folder} that are in no folder of a class, {len(loose):,}: {few(loose)}")
    if empty:
        notes.append(f"folders of {folder} without images, which are no classes: {few(empty)}")
    if others:
        notes.append(f"files in {folder} whose names do not end like an image's, {len(others):,}: {few(others)}")
    return _Classes(files, notes)


def _walk(folder: str, read: dict[tuple[int, int], str]) -> tuple[list[str], list[str]]:
    """The images in `folder` and the folders in it, and its other files. `read`: the folders seen so far."""
    known = read.get(_identity(folder))
    if known is not None:
        raise ValueError(
            f"{folder} is a link to {known}, whose images would be read twice and under another class; remove it"
        )
    read[_identity(folder)] = folder
    images, others, inner = [], [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_hidden(entry.name):
                continue
            if entry.is_dir():
                inner.append(entry.path)
            elif _is_image(entry.name):
                images.append(entry.path)
            else:
                others.append(entry.path)
    images.sort()
    for path in sorted(inner):
        more, left_out = _walk(path, read)
        images, others = images + more, others + left_out
    return images, sorted(others)


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(EXTENSIONS)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _identity(folder: str) -> tuple[int, int]:
    about = os.stat(folder)
    return about.st_dev, about.st_ino


def _check_count(folder: Path, names: tuple[str, ...]) -> None:
    if len(names) < 2:
        has = f"images of {names[0]!r} only" if names else "no folder with images"
        raise ValueError(f"{folder} needs one folder of images per class and at least 2 classes; it has {has}")
