from __future__ import annotations

from collections.abc import Iterator

import pytest

from .board import Board, open_board


@pytest.fixture(scope="package")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A board that answers: a real sshd, and an interpreter with numpy and onnxruntime only."""
    found = open_board(tmp_path_factory.mktemp("board"))
    yield found
    found.stop()
