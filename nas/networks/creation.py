"""`create_model`: networks by published name, arch file or model folder, with timm's interface and timm's weights."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timm.models import build_model_with_cfg, get_arch_pretrained_cfgs, is_model
from torch import nn

from nas.networks import ENTRY, WEIGHTS, hub, model_folder, weights
from nas.networks.location import locate
from nas.networks.network import build_network
from nas.networks.timm_interface import with_in_channels
from nas.terminal.library_errors import translated
from search_spaces import zoo
from search_spaces.arch import Arch


@dataclass(frozen=True)
class Source:
    """Where a network comes from: its arch, timm's configuration of its weights (None: timm's own), the folder."""

    arch: Arch
    name: str = ENTRY
    pretrained_cfg: dict[str, Any] | str | None = None
    folder: Path | None = None
    batch_norm_eps: float | None = None


def create_model(
    name_or_arch_json: str | Path | Arch | Mapping[str, Any],
    num_classes: int | None = None,
    features_only: bool = False,
    pretrained: bool | None = None,
    *,
    out_indices: int | Sequence[int] | None = None,
    in_chans: int | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    global_pool: str = "avg",
    checkpoint_path: str | Path | None = None,
    batch_norm_eps: float | None = None,
    pretrained_cfg: dict[str, Any] | str | None = None,
    pretrained_cfg_overlay: dict[str, Any] | None = None,
    cache_dir: str | Path | None = None,
) -> nn.Module:
    """A network with timm's model interface.

    `name_or_arch_json` is a published name (`python -m nas.zoo` lists them; a timm tag may follow: `name.tag`), an arch
    file, its text, a model folder (also as `local-dir:<folder>`), a run directory, or an `Arch`.
    `num_classes`: None for the arch's own number, of most published names 1000; 0 leaves the classifier out.
    `features_only=True` gives a module that returns the feature maps `out_indices` (all; the last n; or those listed).
    `in_chans` replaces the arch's input channels.

    `pretrained=True` loads timm's published weights of that name through timm (weights are adapted to `in_chans`, and
    the classifier is left out where `num_classes` differs), or a model folder's weights; None means True for model
    folders and False else. `checkpoint_path` loads a file of weights (or a folder's) instead; they must fit
    exactly. `pretrained_cfg`, `pretrained_cfg_overlay` and `cache_dir` are timm's.

    Raises `ValueError` for an unknown name (with the nearest ones), a damaged or altered file, weights of another
    network, and values out of range.
    """
    source = resolve(name_or_arch_json)
    if pretrained is None:
        pretrained = source.folder is not None and checkpoint_path is None
    if pretrained and checkpoint_path is not None:
        raise ValueError("pretrained=True and checkpoint_path are two sources of weights; give one")
    if out_indices is not None and not features_only:
        raise ValueError("out_indices picks feature maps; it needs features_only=True")
    if features_only and checkpoint_path is not None:
        raise ValueError(
            "checkpoint_path holds a whole classifier; load it without features_only, or save a model folder"
        )
    if batch_norm_eps is None and checkpoint_path is not None:
        batch_norm_eps = model_folder.epsilon_in(checkpoint_path)
    if source.folder is not None and pretrained:
        model_folder.check_weights(source.folder, source.arch)
    model = _build(
        source,
        pretrained,
        pretrained_cfg=pretrained_cfg if pretrained_cfg is not None else source.pretrained_cfg,
        pretrained_cfg_overlay=pretrained_cfg_overlay,
        features_only=features_only,
        out_indices=out_indices,
        cache_dir=cache_dir,
        network={"drop_rate": drop_rate, "drop_path_rate": drop_path_rate, "batch_norm_eps": batch_norm_eps},
        timm={"num_classes": num_classes, "in_chans": in_chans, "global_pool": global_pool},
    )
    if checkpoint_path is not None:
        weights.load(model, weights.read_weights(checkpoint_path), str(checkpoint_path))
    return model


def build_for_timm(
    pretrained: bool = False,
    arch: str | Path | Arch | Mapping[str, Any] | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    global_pool: str | None = None,
    features_only: bool = False,
    out_indices: int | Sequence[int] | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    bn_eps: float | None = None,
    bn_momentum: float | None = None,
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: dict[str, Any] | None = None,
    device: Any = None,
    dtype: Any = None,
    **timm: Any,
) -> nn.Module:
    """What `timm.create_model("nas_net", arch=...)` calls; the arguments are those timm's tools pass."""
    if arch is None:
        raise ValueError(f"{ENTRY} needs arch=: an arch file, its content, or a published name")
    known = {"cache_dir", "pretrained_model_args"}
    unknown = sorted(set(timm) - known)
    if unknown:
        raise ValueError(f"nas_net has no argument {unknown[0]!r}")
    source = resolve(arch)
    model = _build(
        source,
        pretrained,
        pretrained_cfg=pretrained_cfg or source.pretrained_cfg,
        pretrained_cfg_overlay=pretrained_cfg_overlay,
        features_only=features_only,
        out_indices=out_indices,
        network={
            "drop_rate": drop_rate,
            "drop_path_rate": drop_path_rate,
            "batch_norm_eps": bn_eps,
            "batch_norm_momentum": bn_momentum,
        },
        timm={"num_classes": num_classes, "in_chans": in_chans, "global_pool": global_pool, **timm},
    )
    # What timm's save_for_hf stores to build the network again: the arch itself rather than the path of a file.
    model._model_args = {"arch": source.arch.to_dict()}  # type: ignore[assignment]
    return model if device is None and dtype is None else model.to(device, dtype)


def resolve(source: str | Path | Arch | Mapping[str, Any]) -> Source:
    """What `create_model` was given, as an arch and the origin of its weights."""
    if isinstance(source, Arch):
        return Source(source)
    if isinstance(source, Mapping):
        return Source(Arch.from_dict(dict(source)))
    if not isinstance(source, str | os.PathLike):
        raise ValueError(f"a network is made of a name, a path, an arch or its JSON, got {type(source).__name__}")
    text = str(source)
    if text.lstrip().startswith("{"):
        return Source(Arch.from_json(text))
    path = locate(text)
    if path is None:
        name, _, tag = text.partition(".")
        return _published(name, tag)
    return _from_folder(path) if path.is_dir() else Source(Arch.load(path))


def _published(name: str, tag: str) -> Source:
    arch, eps = zoo.published(name), zoo.BATCH_NORM_EPS.get(name)
    if is_model(name):
        known = [full.partition(".")[2] for full in get_arch_pretrained_cfgs(name)]
        if tag and tag not in known:
            raise ValueError(f"timm has no weights {name}.{tag}; it has {', '.join(filter(None, known)) or 'none'}")
        return Source(arch, name, tag or None, batch_norm_eps=eps)
    if tag:
        raise ValueError(f"timm has no weights {name}.{tag}; {name} is described here but not in timm")
    return Source(arch, name, timm_config(arch), batch_norm_eps=eps)


def _from_folder(folder: Path) -> Source:
    saved = model_folder.read(folder)
    config = {**saved.pretrained_cfg, "file": str(folder), "source": "local-dir"}
    return Source(saved.arch, saved.name, config, folder, saved.batch_norm_eps)


def epsilon_of(name: str | Path, checkpoint_path: str | Path | None) -> float | None:
    """The batch norm epsilon of the network `name` with the weights in `checkpoint_path`, if any; None: torch's own.

    That of the model folder, run or training that the weights belong to, else what belongs to the name or folder.
    """
    eps = None if checkpoint_path is None else model_folder.epsilon_in(checkpoint_path)
    return resolve(name).batch_norm_eps if eps is None else eps


def timm_config(arch: Arch) -> dict[str, Any]:
    """timm's description of a network's input and weights (`pretrained_cfg`) for an arch without published weights."""
    return model_folder.timm_config(weights.network_of(arch))


def _build(
    source: Source,
    pretrained: bool,
    *,
    pretrained_cfg: Any,
    features_only: bool,
    out_indices: int | Sequence[int] | None,
    network: dict[str, Any],
    timm: dict[str, Any],
    **loading: Any,
) -> nn.Module:
    """The network, built and filled by timm's `build_model_with_cfg`."""
    if not pretrained_cfg and (source.name == ENTRY or not is_model(source.name)):
        pretrained_cfg = timm_config(source.arch)
    file = pretrained_cfg.get("file") if pretrained and isinstance(pretrained_cfg, Mapping) else None
    path = Path(file) / WEIGHTS if file else None
    if path is not None and path.is_file():  # timm loads a model folder's weights itself, unchecked
        weights.check_digest(path)
        weights.check_types_in(path, source.arch)
    eps = network.pop("batch_norm_eps")
    if eps is None:
        eps = source.batch_norm_eps
    if eps is None and pretrained:
        eps = model_folder.PRETRAINED_EPS.get(source.name)
    momentum = network.pop("batch_norm_momentum", None)

    def factory(num_classes: int | None = None, in_chans: int | None = None, global_pool: str = "avg") -> nn.Module:
        model = build_network(
            with_in_channels(source.arch, in_chans), num_classes=num_classes, global_pool=global_pool, **network
        )
        model.set_batch_norm(eps, momentum)
        return model

    given = {key: value for key, value in timm.items() if value is not None}
    if features_only:
        given |= {"features_only": True, "out_indices": out_indices, "feature_cls": "getter"}
    build = functools.partial(build_model_with_cfg, factory, source.name, pretrained, pretrained_cfg=pretrained_cfg)
    if not pretrained:
        return build(**loading, **given)
    try:
        with contextlib.nullcontext() if file else hub.without_retries():
            return build(**loading, **given)
    except (RuntimeError, OSError) as error:
        reason = translated(error) or " ".join(str(error).split())[:300]
        raise ValueError(f"pretrained weights of {source.name} cannot be loaded: {reason}") from error
