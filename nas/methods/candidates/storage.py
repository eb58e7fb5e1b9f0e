"""Where trials are stored: an SQLAlchemy URL, checked before anything is measured, and what can go wrong there."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import sqlalchemy
from optuna.exceptions import StorageInternalError

from nas.runs.files import FULL_BYTES
from nas.runs.locks import holders

BUSY_SECONDS = 30.0  # how long SQLite waits for another process that has the file locked
LOCK_SUFFIX = ".lock"
TRIALS = "trials.db"  # in a run directory, where no other storage is named
FAILURES = (sqlalchemy.exc.SQLAlchemyError, StorageInternalError, ImportError, json.JSONDecodeError)


def file_url(path: Path) -> str:
    """The SQLAlchemy URL of the SQLite file `path`, whatever characters are in it."""
    url = sqlalchemy.engine.URL.create("sqlite", database=str(path.resolve())).render_as_string(hide_password=False)
    if sqlalchemy.engine.make_url(url).database != str(path.resolve()):  # SQLAlchemy below 2.1 escapes nothing
        raise ValueError(f"the path {path} holds signs that no database URL can; name a run_dir without ? and %")
    return url


def lock_file(url: sqlalchemy.engine.URL) -> Path | None:
    """The lock beside an SQLite file, whose folder is made; None for other databases."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + LOCK_SUFFIX)


def patience(storage: str) -> dict[str, Any]:
    """Settings of an engine that waits for other processes as long as a search does."""
    return {} if sqlite_file(storage) is None else {"connect_args": {"timeout": BUSY_SECONDS}}


def check_storage(storage: str) -> None:
    """Raise `ValueError` for a storage that cannot be used, before anything is measured; makes no file."""
    try:
        url = sqlalchemy.engine.make_url(storage)
        if url.get_backend_name() == "sqlite":
            _check_file(storage, url.database)
            if not Path(url.database or "").exists():
                url.get_dialect()
                return
        engine = sqlalchemy.create_engine(url, **patience(storage))
        try:
            sqlalchemy.inspect(engine).get_table_names()
        finally:
            engine.dispose()
    except FAILURES as error:
        raise unusable(storage, error) from None


def check_continued(storage: str | None, study: str, run: Path) -> None:
    """Raise `ValueError` where the study that `run` began in `storage` (None: its own file) is not there.

    Makes no file. A relative path is one below the present folder: in another one, a study of that name would be begun
    anew.
    """
    url = file_url(run / TRIALS) if storage is None else storage
    file = sqlite_file(url)
    if holds(url, study):
        return
    if storage is None:
        raise ValueError(
            f"{run / TRIALS} does not hold study {study!r}, which has the candidates of {run}: all of them would be "
            "trained again; put the file back as it was, or begin another run: run_dir=..."
        )
    where = "" if file is None else f" ({Path(file).absolute()})"
    raise ValueError(
        f"search.storage={storage!r}{where} does not hold study {study!r}, which has the candidates of {run}; give the "
        "one that does (sqlite:////path/to/FILE finds a file from any folder), or begin another run: run_dir=..."
    )


def holds(storage: str, study: str) -> bool:
    """Whether there is a study of that name in `storage`; makes no file."""
    file = sqlite_file(storage)
    if file is not None and not Path(file).exists():
        return False
    engine = sqlalchemy.create_engine(storage, **patience(storage))
    try:
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("studies"):
                return False
            named = sqlalchemy.text("SELECT 1 FROM studies WHERE study_name = :name")
            return connection.execute(named, {"name": study}).first() is not None
    except FAILURES as error:
        raise unusable(storage, error) from None
    finally:
        engine.dispose()


def _check_file(storage: str, database: str | None) -> None:
    if not database or database == ":memory:":
        raise ValueError(
            f"search.storage={storage!r} is in memory and would be gone with the process; name a file: sqlite:///FILE"
        )
    folder = next(parent for parent in Path(database).absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f"search.storage={storage!r} cannot be made: {folder} is not a folder that can be written to")


def unusable(storage: str, error: Exception) -> ValueError | OSError:
    """The error for a storage that `error` keeps from being used, in one line; a full disk is an `OSError`."""
    reason = _reason(error)
    file = sqlite_file(storage)
    name = file or f"search.storage={storage!r}"
    if file is not None and ("database or disk is full" in reason or ("disk I/O" in reason and _is_full(file))):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)
    if "database is locked" in reason:
        return ValueError(
            f"{name} is locked by {holders(file or '')} and stayed so; end it or wait for it, then try again"
        )
    if "disk I/O error" in reason:
        return ValueError(f"{name} cannot be read or written: {reason}; is the disk full or no longer there?")
    if isinstance(error, json.JSONDecodeError) or "malformed" in reason:
        return ValueError(f"{name} is damaged: {reason}; put back a copy of it, or start the search anew")
    return ValueError(f"search.storage={storage!r} cannot be opened: {reason}")


def damaged(where: str, study: str, error: Exception) -> ValueError:
    """The error for a study in `where` that holds what nothing of ours has written."""
    return ValueError(f"{where}, study {study!r}, is damaged: {error}; put back a copy of it, or start the search anew")


def _is_full(file: str) -> bool:
    return shutil.disk_usage(Path(file).absolute().parent).free < FULL_BYTES


def _reason(error: BaseException) -> str:
    """What the database itself said; libraries wrap it in sentences and SQL of their own."""
    while isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    said = getattr(error, "orig", None) or error
    return " ".join(str(said).split())[:200]


def sqlite_file(storage: str) -> str | None:
    """The file of an SQLite `storage`; None for other databases, and where that is not a URL."""
    try:
        url = sqlalchemy.engine.make_url(storage)
    except sqlalchemy.exc.SQLAlchemyError:
        return None
    if url.get_backend_name() != "sqlite":
        return None
    if url.database and url.database.startswith("file:") and url.query.get("uri"):  # SQLite's own kind of URL
        return unquote(urlsplit(url.database).path)
    return url.database
