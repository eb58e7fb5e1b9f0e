"""Images that were read, and whether the files they came from have the same content still."""

from __future__ import annotations

import time
from collections.abc import Mapping

from nas.data.card import DataSource
from nas.data.files.stamp import stamp
from nas.data.images import ImageData

SHARE = 0.05  # of the time that passes, at most, goes into looking at files


class KnownImages:
    """The `data` that `source` had when its files had the stamp `began` (None: nobody looked then)."""

    def __init__(self, source: DataSource, data: ImageData, began: str | None) -> None:
        self.source, self.data, self.stamp = source, data, began
        self._again = 0.0  # not before that time: listing a million files takes seconds

    def check(self) -> None:
        """Raise `ValueError` where the files hold other images by now. Files that were only touched are the same."""
        card, began = self.source.card, time.monotonic()
        if not isinstance(card, Mapping) or began < self._again:
            return
        now = stamp(card)
        if now != self.stamp:
            if self.source.at(self.data.resolution).fingerprint != self.data.fingerprint:
                raise ValueError(
                    f"the images of {self.data.name} are others than when this began; put them back and resume it, or "
                    "begin another run"
                )
            self.stamp = now
        self._again = time.monotonic() + (time.monotonic() - began) / SHARE
