"""Published weights where there is no network: refused at once, in one line."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

import nas


def test_without_a_network_weights_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> socket.socket:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("nas.networks.hub.socket.create_connection", unreachable)
    monkeypatch.setattr("nas.networks.hub.urllib.request.getproxies", dict)
    monkeypatch.setattr("nas.networks.network.init_weights", lambda module: None)
    before, began = constants.HF_HUB_OFFLINE, time.process_time()
    with pytest.raises(ValueError, match="cannot be loaded: the weights could not be fetched: there is no") as refused:
        nas.create_model("mobilenetv2_050", pretrained=True, cache_dir=tmp_path)
    assert "\n" not in str(refused.value) and time.process_time() - began < 10
    assert before == constants.HF_HUB_OFFLINE
