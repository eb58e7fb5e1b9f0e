"""The text of a Python file that holds a network: what surrounds its modules and its forward pass."""

from __future__ import annotations

from nas.export.standalone.python_source import Source

HEAD = '''"""A network as plain modules of torch; it needs nothing else.

    network = load()  # the weights lie beside this file
    logits = network(images)  # (batch, {shape}) float32 to (batch, classes)

IMAGES says how images are prepared, where that is known: size, mean, standard deviation, names of the classes.
"""

import hashlib
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

WEIGHTS = Path(__file__).with_name(Path(__file__).stem + "_weights.safetensors")
WEIGHTS_SHA256 = "{digest}"
IMAGES = {{}}


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
{modules}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
{forward}


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file: the length of a JSON header, the header, the numbers."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise ValueError(f"{{path}} is damaged, or is not the file that {{__file__}} was written with")
    length = int.from_bytes(content[:8], "little")
    header, numbers = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    dtypes = {{"F32": torch.float32, "I64": torch.int64}}
    found = {{}}
    for name, part in header.items():
        if name != "__metadata__":
            first, last = part["data_offsets"]
            dtype = dtypes[part["dtype"]]
            count = (last - first) // torch.empty((), dtype=dtype).element_size()
            tensor = torch.frombuffer(numbers, dtype=dtype, count=count, offset=first)
            found[name] = tensor.reshape(part["shape"]).clone()
    return found


def load(path: Path = WEIGHTS) -> Network:
    """The network with its weights, ready to be used."""
    network = Network()
    network.load_state_dict(read_safetensors(path))
    return network.eval()
'''


def text_of(source: Source, input_shape: tuple[int, int, int], digest: str) -> str:
    """The file of `source`, whose weights' file has the SHA-256 `digest`."""
    modules, forward = ("\n".join(f"        {line}" for line in lines) for lines in (source.modules, source.forward))
    shape = ", ".join(map(str, input_shape))
    return HEAD.format(modules=modules, forward=forward, shape=shape, digest=digest)
