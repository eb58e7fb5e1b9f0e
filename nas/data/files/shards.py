"""Images in tar archives, each beside the number or name of its class, as WebDataset writes them."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nas.data.files.decode import EXTENSIONS
from nas.data.files.listing import HELD_OUT, Labelled, Listing
from nas.data.files.remembered import remembered, state_of
from nas.data.files.stored import Part

LABEL = ".cls"
NAMES = "classes.txt"
LONGEST_LABEL = 1024  # bytes
COMPRESSED = ("*.tar.gz", "*.tgz", "*.tar.bz2", "*.tar.xz", "*.tar.zst")
Entry = tuple[str, int, int, str]  # name, offset and size of an image, what its .cls says


def shard_listing(root: Path) -> Listing:
    """The images in the shards of `root`: `train/*.tar`, or `*.tar` of whose names a word begins so; test or val.

    Each image is `<key>.<jpg or another ending>` beside `<key>.cls`, which holds its class: a number from 0, whose
    names are the lines of `root/classes.txt` where there is one, or a name, of those lines in their order. What the
    shards hold is looked up once and remembered; images are read from where they lie. Raises `ValueError` for shards
    that cannot be read so.
    """
    if not root.is_dir():
        raise ValueError(f"data.root={root} is not a directory; give one that holds train/*.tar and val/*.tar")
    train = _shards(root, ("train",))
    test, used = next(((found, name) for name in HELD_OUT if (found := _shards(root, (name,)))), ([], ""))
    if not train or not test:
        lacking = ("training", "train") if not train else ("test", "val")
        compressed = next((path for end in COMPRESSED for path in root.rglob(end)), None)
        hint = f"; {compressed} is compressed: images are read from their places, so unpack it to .tar"
        where = f"{lacking[1]}/*.tar, or .tar files of whose names a word begins with {lacking[1]}"
        raise ValueError(f"{root} has no {lacking[0]} shards ({where}){hint if compressed else ''}")
    if both := set(train) & set(test):
        raise ValueError(
            f"{min(both)} may be of training or of {used} by its name; put shards into {root}/train and {root}/{used}"
        )
    entries = {path: _entries(path) for path in (*train, *test)}
    names, as_numbers = _names(root, {label for found in entries.values() for *_, label in found})
    number = {name: i for i, name in enumerate(names)}

    def labelled(shards: Sequence[Path]) -> Labelled:
        return [
            (Part(str(path), offset, size, name), int(label) if as_numbers else number[label])
            for path in shards
            for name, offset, size, label in entries[path]
        ]

    notes = [f"{len(train)} training and {len(test)} test shards ({used})"]
    return Listing(labelled(train), labelled(test), names, tuple(notes))


def _shards(root: Path, words: Sequence[str]) -> list[Path]:
    folders = [path for word in words for path in sorted((root / word).glob("*.tar"))]
    return folders or sorted(path for path in root.glob("*.tar") if _has_word(path.stem, words))


def _has_word(name: str, beginnings: Sequence[str]) -> bool:
    """Whether a word of a file's `name` begins so: `retrieval-training-000000` is of training, not of `val`."""
    words = (word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", name))
    return any(word.startswith(tuple(beginnings)) for word in words)


def _names(root: Path, labels: set[str]) -> tuple[tuple[str, ...], bool]:
    """The names of the classes in the order of their labels, and whether labels are numbers."""
    path, are_numbers = root / NAMES, all(label.isascii() and label.isdigit() for label in labels)
    names = None
    if path.exists():
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    if not are_numbers:
        return _in_order(path, names, labels), False
    numbers = set(map(int, labels))
    if names is not None:
        if len(set(names)) < len(names) or max(numbers) >= len(names):
            raise ValueError(
                f"{path} must name each class once, a line each: it has {len(set(names))} different names, and the "
                f"largest class is {max(numbers)}"
            )
        return names, True
    missing = min(set(range(len(numbers) + 1)) - numbers)
    if missing < max(numbers):
        raise ValueError(
            f"the shards of {root} have images of class {max(numbers)} and none of class {missing}; if that is meant, "
            f"name all classes in {path}, a line each"
        )
    return tuple(map(str, range(len(numbers)))), True


def _in_order(path: Path, names: tuple[str, ...] | None, labels: set[str]) -> tuple[str, ...]:
    """The names of the classes where `labels` are names: `names`, the list in `path`, or all in their own order."""
    if names is None:
        return tuple(sorted(labels))
    unknown = sorted(labels - set(names))
    if unknown or len(set(names)) < len(names):
        wrong = f"there are images of {unknown[0]!r}, which it does not name" if unknown else "it names one twice"
        raise ValueError(f"{path} must name each class once, a line each: {wrong}; mend or remove it")
    return names


def _entries(path: Path) -> list[Entry]:
    """The images of one shard, in the order of their names."""

    def find() -> dict[str, Any]:
        return {"images": sorted(_read(path))}

    found = remembered("shard", state_of([str(path)], "1"), find)["images"]
    return [(str(name), int(offset), int(size), str(label)) for name, offset, size, label in found]


def _read(path: Path) -> Iterator[Entry]:
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if not member.isreg():
                    continue
                folder, slash, file = member.name.rpartition("/")
                first, dot, ending = file.partition(".")
                key, ending = f"{folder}{slash}{first}", f"{dot}{ending}".lower()
                if ending in EXTENSIONS:
                    if key in images:
                        raise ValueError(f"{key} has two images, {images[key][0]} and {member.name}; keep one")
                    images[key] = (member.name, member.offset_data, member.size)
                elif ending == LABEL:
                    content = archive.extractfile(member)
                    assert content is not None
                    labels[key] = content.read(LONGEST_LABEL).decode("utf-8").strip()
    except (tarfile.TarError, UnicodeDecodeError, EOFError, OSError) as error:
        raise ValueError(f"shard {path} cannot be read: {error}; write it again, as an uncompressed .tar") from None
    except ValueError as error:
        raise ValueError(f"shard {path}: {error}") from None
    without = sorted(set(images) - set(labels))
    if without or not images:
        what = f"{images[without[0]][0]} has no {without[0]}{LABEL} beside it" if without else "it holds no image"
        raise ValueError(f"shard {path}: {what}; each image needs its class in a file of that name")
    for key, (name, offset, size) in images.items():
        yield name, offset, size, labels[key]
