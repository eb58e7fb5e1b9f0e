"""Images that stay with a process which trains one candidate after the other."""

from __future__ import annotations

from nas.data import ImageData
from nas.data.digits import digits
from nas.methods.candidates.image_job import KeptData, image_bytes


def test_searched_resolutions_are_loaded_once_each() -> None:
    """As many data sets stay as fit; the one in use stays whatever its size."""
    images = {side: digits(resolution=side) for side in (6, 8, 10)}
    size = image_bytes(images[8])
    assert size == 64 * (len(images[8].train) + len(images[8].test))
    loaded: list[int] = []

    def get(kept: KeptData, side: int) -> None:
        def load() -> ImageData:
            loaded.append(side)
            return images[side]

        assert kept.get(side, load) is images[side]

    roomy, tight = KeptData(), KeptData(size)
    for side in (6, 8, 10, 6, 8, 10):
        get(roomy, side)
    assert loaded == [6, 8, 10]
    for side in (8, 8, 10, 8):
        get(tight, side)
    assert loaded[3:] == [8, 10, 8]
