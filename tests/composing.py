"""Settings composed in one process again and again, without what Hydra does for each process anew."""

from __future__ import annotations

import copy
import io
from collections import defaultdict
from functools import partial
from typing import IO, Any, ClassVar

from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf
from omegaconf.base import Metadata

NOTHING = partial(defaultdict, dict)  # what is resolved so far


def compose_once() -> None:
    """Hydra composes all settings a first time only to read `hydra.mode`; without an override, `--multirun` decides it.

    It also parses the same cards of `conf/` for every command. Commands called in this process are spared both; those
    that tests start as processes are as their users meet them.
    """
    asked = Hydra.get_mode

    def mode(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        return asked(self, config_name, overrides) if any("hydra." in text for text in overrides) else None

    Hydra.get_mode = mode
    Plugins.instance()  # which imports the module of what reads cards a second time
    for scheme in ("file", "pkg"):  # our cards, and Hydra's own
        SourcesRegistry.instance().resolve(scheme).load_config.__globals__["OmegaConf"] = ParsedOnce
    Metadata.__deepcopy__ = copied


def copied(described: Metadata, memo: dict[int, Any]) -> Metadata:
    """A copy of what is known of a setting, of which the mappings alone change: deep copies cost a third more."""
    found: Metadata = copy.copy(described)
    found.flags = None if described.flags is None else dict(described.flags)
    found.resolver_cache = copy.deepcopy(described.resolver_cache, memo) if described.resolver_cache else NOTHING()
    return found


class ParsedOnce(OmegaConf):
    """Reads what has been read before, word for word, from memory: each time another copy."""

    known: ClassVar[dict[str, Any]] = {}

    @staticmethod
    def load(file_: IO[str]) -> Any:
        text = file_.read()
        if text not in ParsedOnce.known:
            ParsedOnce.known[text] = OmegaConf.load(io.StringIO(text))
        return copy.deepcopy(ParsedOnce.known[text])
