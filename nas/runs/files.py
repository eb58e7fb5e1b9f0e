"""Files that appear whole or not at all, and the folder for those that can be made again."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from search_spaces.plain_data import plain_json

_PARTIAL = "-partial-[a-z0-9_]{8}"
FULL_BYTES = 1 << 20  # a disk with less free space than this is called full


def is_partial(name: str) -> bool:
    """Whether a file of this name is what a killed process left of `write_atomic`, or beside that (`_weights`)."""
    return re.fullmatch(rf"\..+{_PARTIAL}(_\w+)?(\.\w+)?", name) is not None


def leftovers(path: Path, beside: str | None = None) -> Iterator[Path]:
    """What killed processes left of `write_atomic(path)`: temporary files that no process works on.

    `beside`: how the name of a second file ends that was written beside each. None where the file system has no locks,
    which tell that.
    """
    ends = "|".join(re.escape(end) for end in (path.suffix, beside) if end is not None)
    name = re.compile(re.escape(f".{path.stem}") + _PARTIAL + f"({ends})")
    for entry in sorted(path.parent.iterdir()) if path.parent.is_dir() else ():
        if name.fullmatch(entry.name) and is_left(entry):
            yield entry


def is_left(temporary: Path) -> bool:
    """Whether no process works on a `temporary` file of `write_atomic`, nor on the one that it lies beside; False where
    nothing tells that."""
    begins = re.match(rf"\..+{_PARTIAL}", temporary.name)
    of_one = temporary.parent.glob(glob.escape(begins[0]) + "*") if begins else [temporary]
    try:
        for path in of_one:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_atomic(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Call `write(temporary path)` and rename the result to `path`; on any error nothing is left behind.

    The temporary file lies in the same folder, is flushed to disk before the rename, and carries the same suffix.
    A full disk raises `OSError` (ENOSPC, EDQUOT, EFBIG), whatever `write` made of it.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-partial-", suffix=path.suffix, dir=path.parent)
    except OSError as error:  # about the file that was asked for, not the temporary one
        code = errno.ENOTDIR if isinstance(error, FileExistsError) else error.errno
        raise OSError(code, os.strerror(code or errno.EIO), str(path)) from None
    temporary = Path(name)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed: no leftover
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except Exception as error:
        # Libraries report a full disk in words of their own ("unexpected pos ..."); the file system knows better.
        nameless = isinstance(error, OSError) and error.filename is None and error.errno
        code = nameless if isinstance(error, OSError) else _lack_of_room(error, path.parent)
        if code:
            raise OSError(code, os.strerror(code), str(path)) from error
        raise
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)
    return path


def _lack_of_room(error: BaseException | None, folder: Path) -> int | None:
    """The code of a full disk, a quota or a limit on files where that is behind `error`, else None."""
    if shutil.disk_usage(folder).free < FULL_BYTES:
        return errno.ENOSPC
    while error is not None:
        named = re.search(r"\(os error (\d+)\)", str(error))  # safetensors
        code = error.errno if isinstance(error, OSError) else int(named[1]) if named else None
        if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return code
        error = error.__cause__ or error.__context__
    return None


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` to `path` atomically."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    return write_atomic(path, write)


def write_json(path: str | Path, data: Any) -> Path:
    """Write `data` as indented JSON to `path` atomically. NaN and infinity are refused."""
    return write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def set_aside(path: Path) -> Path:
    """Rename `path` to `before-<name>`, with a number where there is one of that name; what it is called now."""
    number, found = 1, path.with_name(f"before-{path.name}")
    while found.exists():
        number += 1
        found = path.with_name(f"before-{path.name}-{number}")
    return path.rename(found)


def read_json(path: str | Path, what: str) -> Any:
    """The JSON in `path`; `what` names the kind of file in the error. Raises `ValueError` naming file and fault.

    What is not plain data (see `search_spaces.plain_data.plain_json`) is a fault. Types and ranges:
    `nas.runs.stored.read_record`.
    """
    path = Path(path)
    try:
        return plain_json.read(path)
    except FileNotFoundError:
        raise ValueError(f"no {what} at {path}") from None
    except ValueError as error:
        raise ValueError(f"{what} {path} is damaged: {error}") from None
    except OSError as error:
        raise ValueError(f"{what} {path} cannot be read: {error}") from None


def cache_folder() -> Path:
    """`$NAS_CACHE`, or `nas` in the folder that the system has for caches. It need not exist.

    Where the user has no home directory (a container's number without a name) it cannot: nothing is remembered.
    """
    named = os.environ.get("NAS_CACHE")
    if named:
        return Path(named)
    found = [os.environ.get(name) for name in ("XDG_CACHE_HOME", "LOCALAPPDATA")]
    home = os.path.expanduser("~")
    return Path(next(filter(None, found), os.devnull if home == "~" else f"{home}/.cache"), "nas")
