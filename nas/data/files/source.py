"""Images in files, decoded by threads as they are needed."""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from nas.data.files.decode import UnreadableError, open_image
from nas.data.files.duplicates import parts
from nas.data.files.remembered import remembered, state_of
from nas.data.files.stored import Part, Stored
from nas.data.files.threads import in_threads
from nas.data.preprocessing import MODES, cut, kept_size
from search_spaces.resolution import Pixels, canonical, size

AHEAD = 3  # batches decoded in advance
NAMED = 20  # unreadable files that one message names
LOOK_SECONDS = 60.0  # spent, after a file that cannot be read, on finding the others
DECODING = 1  # of these rules: raise it where the same file gives other pixels

Failures = dict[int, UnreadableError]  # by row


class FileSource:
    """Images in files, decoded by threads a few batches ahead, in the order asked for."""

    one = 255.0

    def __init__(
        self, paths: Sequence[Stored], resolution: Pixels, in_channels: int, crop_percent: float, workers: int
    ) -> None:
        self.paths, self.in_channels, self.workers = tuple(paths), in_channels, workers
        self.resolution, self.kept = canonical(resolution), kept_size(resolution, crop_percent)

    def __len__(self) -> int:
        return len(self.paths)

    def fingerprint(self) -> str:
        """Of the files' names below their common folder, sizes, and 4 KiB at the beginning, middle and end of each.

        Reading 100 GB of images anew would take hours; this takes about 50 us a file on a local disk with a warm cache
        (a minute for 1.3 million), and is remembered. Compressed images that differ do so in their size or their last
        bytes; of uncompressed ones a change elsewhere is not seen.
        """
        found: str = remembered("fingerprint", self.state, lambda: {"fingerprint": self._look()})["fingerprint"]
        return found

    @functools.cached_property
    def state(self) -> str:
        """What is remembered of these files holds for as long as this is the same."""
        rules = f"{DECODING} {self.kept} {self.resolution} {self.in_channels}"
        return state_of(self.paths, rules)

    def _look(self) -> str:
        above = os.path.commonpath({one.path if isinstance(one, Part) else one for one in self.paths})
        found = hashlib.sha256(f"{DECODING} {self.kept} {self.resolution} {self.in_channels}".encode())
        for path, content in zip(self.paths, in_threads(parts, self.paths, self.workers), strict=True):
            found.update(_below(above, path).encode(errors="surrogateescape") + b"\0" + content)
        return found.hexdigest()[:32]

    def batches(self, batches: list[Tensor], device: torch.device) -> Iterator[Tensor]:
        for images in self._decode_ahead([batch.tolist() for batch in batches]):
            yield images.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else images

    def read(self, rows: Sequence[int]) -> tuple[Tensor, Failures]:
        """The images at `rows`, (len(rows), C, H, W) uint8, black where they cannot be read; and those rows."""
        images = self._images(len(rows))
        failures: Failures = {}
        for place, (row, image) in enumerate(zip(rows, in_threads(self._try, rows, self.workers), strict=True)):
            if isinstance(image, UnreadableError):
                failures[row] = image
            else:
                images[place] = image
        return images, failures

    def failures(self, rows: Iterable[int], seconds: float = float("inf")) -> Failures:
        """The rows whose images cannot be read; those found in `seconds`."""
        until, found = time.monotonic() + seconds, {}
        rows = list(rows)
        for row, image in zip(rows, in_threads(self._try, rows, self.workers), strict=False):
            if isinstance(image, UnreadableError):
                found[row] = image
            if time.monotonic() > until:
                break
        return found

    def refuse(self, failures: Failures) -> None:
        """Raise `ValueError` naming the files of `failures`, if there are any."""
        if not failures:
            return
        skip = "data.skip_unreadable=true"
        if len(failures) == 1:
            (error,) = failures.values()
            raise ValueError(f"{error}; replace or remove it, or leave such images out with {skip}")
        reasons = "; ".join(f"{failures[row].path} ({failures[row].reason})" for row in sorted(failures)[:NAMED])
        more = f"; and {len(failures) - NAMED:,} more" if len(failures) > NAMED else ""
        raise ValueError(
            f"{len(failures):,} images cannot be read: {reasons}{more}; replace or remove them, or leave such images "
            f"out with {skip}"
        )

    def refuse_all(self, failures: Failures) -> None:
        """Where some images failed in the middle of the work: name them, and the others that would fail later."""
        if failures:
            others = self.failures(range(len(self)), LOOK_SECONDS)
            self.refuse(others or failures)

    def _decode_ahead(self, batches: list[list[int]]) -> Iterator[Tensor]:
        rest = iter(batches)
        with ThreadPoolExecutor(self.workers) as pool:

            def start(rows: list[int]) -> list[Future[list[Tensor | UnreadableError]]]:
                each = -(-len(rows) // self.workers)  # image by image costs a small one a sixth more
                return [pool.submit(self._try_all, rows[i : i + each]) for i in range(0, len(rows), each or 1)]

            waiting = deque(start(rows) for rows in islice(rest, AHEAD))
            try:
                while waiting:
                    images = [image for future in waiting.popleft() for image in future.result()]
                    self.refuse_all({row: x for row, x in enumerate(images) if isinstance(x, UnreadableError)})
                    decoded = [image for image in images if isinstance(image, Tensor)]
                    yield torch.stack(decoded) if decoded else self._images(0)  # others have the rest of a last batch
                    waiting.extend(start(rows) for rows in islice(rest, 1))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _images(self, count: int) -> Tensor:
        """So many black ones."""
        return torch.zeros(count, self.in_channels, *size(self.kept), dtype=torch.uint8)

    def _try(self, row: int) -> Tensor | UnreadableError:
        try:
            return self._decode(row)
        except UnreadableError as error:
            return error

    def _try_all(self, rows: Sequence[int]) -> list[Tensor | UnreadableError]:
        return [self._try(row) for row in rows]

    def _decode(self, row: int) -> Tensor:
        window = cut(open_image(self.paths[row], MODES[self.in_channels]), self.kept, self.resolution)
        return torch.from_numpy(np.ascontiguousarray(window.reshape(*size(self.kept), -1).transpose(2, 0, 1)))


def _below(above: str, stored: Stored) -> str:
    """The name of `stored` in the folder `above`."""
    if isinstance(stored, Part):
        return f"{os.path.relpath(stored.path, above)}\0{stored.name}"
    return os.path.relpath(stored, above)
