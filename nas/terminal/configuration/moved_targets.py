"""Where the code that older cards and run directories name by `_target_` is now."""

from __future__ import annotations

from typing import Any

MOVED = {
    "search_spaces.fbnet.fbnet": "search_spaces.families.fbnet.fbnet",
    "search_spaces.fbnetv3_space.fbnetv3": "search_spaces.families.fbnetv3.space.fbnetv3",
    "search_spaces.mobilenetv2_space.mobilenetv2": "search_spaces.families.mobilenetv2.space.mobilenetv2",
    "search_spaces.mobilenetv2_space.mobilenetv2_layerwise": (
        "search_spaces.families.mobilenetv2.space.mobilenetv2_layerwise"
    ),
    "search_spaces.rexnet_space.rexnet": "search_spaces.families.rexnet.space.rexnet",
    "search_spaces.single_path.single_path": "search_spaces.families.single_path.single_path",
    "nas.latency.device.Device": "nas.latency.devices.local.LocalDevice",
    "nas.latency.build.Effort": "nas.latency.effort.Effort",
    "nas.candidates.executors.local.LocalEngine": "nas.methods.candidates.executors.local.LocalExecutor",
    "nas.candidates.executors.ray.RayEngine": "nas.methods.candidates.executors.ray.RayExecutor",
    "nas.engines.local.LocalEngine": "nas.methods.candidates.executors.local.LocalExecutor",
    "nas.engines.ray.RayEngine": "nas.methods.candidates.executors.ray.RayExecutor",
}


def moved(config: Any) -> Any:
    """`config` (plain data) with every `_target_` under its present name."""
    if isinstance(config, dict):
        found = {key: moved(value) for key, value in config.items()}
        target = found.get("_target_")
        return {**found, "_target_": MOVED.get(target, target)} if isinstance(target, str) else found
    return [moved(value) for value in config] if isinstance(config, list) else config
