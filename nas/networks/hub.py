"""Weights from timm's hub, also where there is no network: from the cache, or refused at once."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from huggingface_hub import constants

CONNECT_SECONDS = 5.0


@contextmanager
def without_retries() -> Iterator[None]:
    """Where the hub cannot be reached, its library looks into its cache alone meanwhile, not trying for a minute.

    Raises what the library raises where weights are not in the cache.
    """
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _is_reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _is_reachable(url: str) -> bool:
    """Whether the server of `url` takes connections; what a proxy reaches is left to be seen."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    if parts.hostname is None or parts.scheme in proxies or "all" in proxies:
        return True
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        socket.create_connection((parts.hostname, port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
