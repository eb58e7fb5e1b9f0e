"""Where trials are stored: an SQLAlchemy URL, checked before anything is measured."""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy


def lock_file(url: sqlalchemy.engine.URL) -> Path | None:
    """The lock beside an SQLite file, whose folder is made; None for other databases."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + ".lock")


def check_storage(storage: str) -> None:
    """Raise `ValueError` for a storage that cannot be used, before anything is measured; makes no file."""
    try:
        url = sqlalchemy.engine.make_url(storage)
        if url.get_backend_name() == "sqlite":
            _check_file(storage, url.database)
            if not Path(url.database or "").exists():
                url.get_dialect()
                return
        engine = sqlalchemy.create_engine(url)
        try:
            sqlalchemy.inspect(engine).get_table_names()
        finally:
            engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise unusable(storage, error) from None


def _check_file(storage: str, database: str | None) -> None:
    if not database or database == ":memory:":
        raise ValueError(
            f"search.storage={storage!r} is in memory and would be gone with the process; name a file: sqlite:///FILE"
        )
    folder = next(parent for parent in Path(database).absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f"search.storage={storage!r} cannot be made: {folder} is not a folder that can be written to")


def unusable(storage: str, error: Exception) -> ValueError:
    """The error for a storage that `error` kept from opening, in one line."""
    reason = " ".join(str(error).split())[:200]
    return ValueError(f"search.storage={storage!r} cannot be opened: {reason}")
