"""`Arch`: the one description of a network. Everything else is a fold over `Arch.walk()`."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.blocks import KINDS, Classifier, Layer, layer_from_dict
from search_spaces.blocks.activations import ACTIVATIONS
from search_spaces.blocks.parts.checks import MOST_CHANNELS
from search_spaces.costs import Cost, Shape
from search_spaces.memory.counted import Counted
from search_spaces.plain_data import plain_json
from search_spaces.plain_data.own_code import code_of
from search_spaces.resolution import Resolution, canonical, size

FORMAT = "nas.arch"
VERSION = 1
MOST_LAYERS = 2000
MOST_BYTES = 8 << 20  # of a file; one of `MOST_LAYERS` has less than 1 MiB


@dataclass(frozen=True, slots=True)
class Arch:
    """A network: input resolution (pixels; a `Size` where images are not square), input channels, layers in stages.

    The first stage is the stem, the last is the head (it ends in a `Classifier`), those between are the block stages;
    stages only group and name layers (`blocks.<stage>.<block>` in a network's weights). Raises `ValueError` for
    channels below 1 or beyond `MOST_CHANNELS`, a stage without layers, and a last layer that is no classifier.
    """

    resolution: Resolution
    stages: tuple[tuple[Layer, ...], ...]
    in_channels: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolution", canonical(self.resolution))
        channels = self.in_channels
        if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
            raise ValueError(f"in_channels must be a whole number >= 1, got {channels!r}")
        if channels > MOST_CHANNELS:
            raise ValueError(f"in_channels must be at most {MOST_CHANNELS}, got {channels:.6g}")
        _check_count(self.stages)
        object.__setattr__(self, "stages", tuple(map(tuple, self.stages)))  # lists have no hash
        if len(self.stages) < 2 or not all(self.stages):
            raise ValueError("an arch needs a stem stage and a head stage, and every stage at least one layer")
        if self.stages[-1][-1].role != "classifier":
            raise ValueError(f"the last layer must be a classifier, got {self.stages[-1][-1].kind!r}")

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(layer for stage in self.stages for layer in stage)

    @property
    def input_shape(self) -> Shape:
        return Shape(self.in_channels, *size(self.resolution))

    @property
    def num_classes(self) -> int:
        return self.stages[-1][-1].out_shape(self.input_shape).channels  # whatever a classifier reads

    def walk(self) -> Iterator[tuple[Layer, Shape]]:
        """Each layer with the shape of its input, from stem to classifier."""
        shape = self.input_shape
        for layer in self.layers:
            yield layer, shape
            shape = layer.out_shape(shape)

    def walk_stages(self) -> Iterator[tuple[tuple[Layer, Shape], ...]]:
        """`walk()` cut into stages."""
        steps = self.walk()
        for stage in self.stages:
            yield tuple(next(steps) for _ in stage)

    @property
    def cost(self) -> Cost:
        """Parameters, MACs and activations of the whole network for one image."""
        return _cost(self)

    @property
    def params(self) -> int:
        return self.cost.params

    @property
    def macs(self) -> int:
        """Multiply-adds of convolutions and linear layers for one image (papers print this as FLOPs)."""
        return self.cost.macs

    @property
    def activations(self) -> int:
        return self.cost.activations

    def memory_kib(self, counted: Counted) -> float:
        """Peak of the activations alive at once for one image: the largest of its layers', which form a chain."""
        return counted.activations_kib(max(layer.peak(shape, counted.in_place) for layer, shape in self.walk()))

    def weights_kib(self, counted: Counted) -> float:
        """What its weights take once norms are folded into them."""
        return sum(counted.weights_kib(*layer.stored(shape)) for layer, shape in self.walk())

    def with_classes(self, num_classes: int) -> Arch:
        """The same network for another number of classes."""
        return dataclasses.replace(self, stages=(*self.stages[:-1], (*self.stages[-1][:-1], Classifier(num_classes))))

    @property
    def id(self) -> str:
        """Short hash of the canonical JSON: equal archs have equal ids."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "resolution": self.resolution if isinstance(self.resolution, int) else list(self.resolution),
            "in_channels": self.in_channels,
            "stages": [[layer.to_dict() for layer in stage] for stage in self.stages],
        }

    def to_json(self) -> str:
        """JSON text, one layer a line; `from_json(to_json()) == self`."""
        head = {key: value for key, value in self.to_dict().items() if key != "stages"}
        stages = ",\n".join(
            "  [\n" + ",\n".join(f"   {json.dumps(layer.to_dict())}" for layer in stage) + "\n  ]"
            for stage in self.stages
        )
        return json.dumps(head)[:-1] + ', "stages": [\n' + stages + "\n]}\n"

    @staticmethod
    def from_dict(data: Any) -> Arch:
        """The arch that `to_dict` wrote; anything else is refused with what is wrong and where."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f'not an arch: expected a JSON object with "format": "{FORMAT}"')
        if data.get("version") != VERSION:
            raise ValueError(
                f"arch format version {data.get('version')!r} cannot be read; this release reads {VERSION}"
            )
        unknown = sorted(set(data) - {"format", "version", "resolution", "in_channels", "stages"})
        if unknown:
            raise ValueError(f"an arch has no key {unknown[0]!r}")
        stages = data.get("stages")
        if not isinstance(stages, list) or not all(isinstance(stage, list) for stage in stages):
            raise ValueError("an arch needs 'stages': a list of lists of layers")
        _check_count(stages)
        built = []
        for i, stage in enumerate(stages):
            layers = []
            for j, layer in enumerate(stage):
                try:
                    layers.append(layer_from_dict(layer))
                except ValueError as error:
                    raise ValueError(f"stage {i}, layer {j}: {error}") from None
            built.append(tuple(layers))
        return Arch(data.get("resolution", 0), tuple(built), data.get("in_channels", 3))

    @staticmethod
    def from_json(text: str) -> Arch:
        """The arch in `text`. Raises `ValueError` where it is not one."""
        return Arch.from_dict(plain_json.parse(text))

    @staticmethod
    def load(path: str | Path) -> Arch:
        """The arch in the file `path`. Raises `ValueError` naming the file where it is missing or not an arch."""
        path = Path(path)
        try:
            return Arch.from_dict(plain_json.read(path, MOST_BYTES))
        except FileNotFoundError:
            raise ValueError(f"no arch file at {path}; a search writes one as arch.json in its run directory") from None
        except (ValueError, OSError) as error:
            raise ValueError(f"{path}: {error}") from None


@functools.lru_cache(maxsize=256)  # asked for again and again, figure by figure
def _cost(arch: Arch) -> Cost:
    costs = [layer.cost(shape) for layer, shape in arch.walk()]
    return Cost(*(sum(values) for values in zip(*costs, strict=True)))


def _check_count(stages: Sequence[Sequence[Any]]) -> None:
    """Raise `ValueError` for more layers than any network has, before anything is made of them."""
    count = sum(len(stage) for stage in stages)
    if count > MOST_LAYERS:
        raise ValueError(f"an arch has at most {MOST_LAYERS} layers, got {count}")


def modules_of(arch: Arch) -> tuple[str, ...]:
    """The modules to import before `arch` is read where nothing but this package is. Ours register themselves."""
    kinds = {type(layer).__module__ for layer in arch.layers}
    acts = {act.__module__ for act in ACTIVATIONS.values() if not isinstance(act, str)}
    return tuple(sorted(module for module in kinds | acts if not module.startswith("search_spaces.blocks.")))


def own_code(steps: Iterable[tuple[Layer, Shape]]) -> dict[str, str]:
    """An entry `code` of identities: the modules of the user's own that define the layers of `steps` and their
    activations (see `code_of`). Nothing where all are ours or torch's, nor of blocks in the program itself, which holds
    the settings of its runs."""
    registered = (*KINDS.values(), *(act for act in ACTIVATIONS.values() if callable(act)))
    if not code_of(made.__module__ for made in registered):  # large spaces have 100,000s of steps
        return {}
    made_by: set[type | Callable[..., Any]] = set()
    for layer, _ in steps:
        named = (ACTIVATIONS.get(value) for value in layer.to_dict().values() if isinstance(value, str))
        made_by |= {type(layer), *(act for act in named if callable(act))}
    code = code_of(made.__module__ for made in made_by)
    return {"code": code} if code else {}
