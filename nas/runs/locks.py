"""File locks that end with the process that holds them, and words for file systems that have none.

Not `filelock`: that opens a file of its own and polls while it waits, where an open file is locked here and the system
wakes the waiter; what is written here would be needed around it all the same.
"""

from __future__ import annotations

import errno
import fcntl
from typing import IO

_NONE = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}


def lock(file: int | IO[str], name: str, fix: str, *, wait: bool) -> bool:
    """Lock the open `file`, called `name`, for this process alone; False where another holds it and `wait` is off.

    Raises `ValueError` with the `fix` where the file system of `name` has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NONE:
            reason = (error.strerror or str(error)).lower()
            raise ValueError(f"{name} cannot be locked ({reason}): its file system has no locks; {fix}") from None
        raise
    return True
