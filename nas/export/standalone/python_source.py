"""A network as a Python file that imports torch alone: its modules one by one, and its forward pass line by line.

Written from the graph that `torch.export` records, so that every block of every space is covered, a user's own too:
convolutions, batch norms and linear layers become modules of torch.nn under the names of their weights (dots become
underscores), everything else an expression; an operation without a spelling of its own is called as `torch.ops.aten`.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import Node

EVERYTHING = 2**62  # an end of a slice behind all ends
METHODS = ("permute", "transpose", "squeeze", "unsqueeze", "expand")
IN_F = (
    "relu",
    "relu6",
    "hardswish",
    "silu",
    "hardsigmoid",
    "gelu",
    "mish",
    "elu",
    "adaptive_avg_pool2d",
    "hardtanh",
    "pad",
)
IN_TORCH = ("sigmoid", "tanh", "cat", "clamp", "clamp_min", "softplus", "exp")
INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


@dataclass
class Source:
    """What the file says of a network: lines that make modules, lines of the forward pass, and its `weights`."""

    modules: list[str] = field(default_factory=list)
    forward: list[str] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)


def source_of(network: nn.Module, input_shape: tuple[int, int, int]) -> Source:
    """`network`, in eval mode, for images of `input_shape` (C, H, W) in batches of any size."""
    import torch

    example = torch.zeros(2, *input_shape)  # a batch of 1 would be taken for a constant
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(network, (example,), dynamic_shapes=shapes).run_decompositions({})
    return _Writer(program).source


def _variables() -> Iterator[str]:
    yield from ("x", "y", "z", "u", "v", "w")
    yield from (f"x{i}" for i in itertools.count(1))


class _Writer:
    def __init__(self, program: Any) -> None:
        signature = program.graph_signature
        names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        names |= signature.inputs_to_lifted_tensor_constants
        self.keys: dict[str, str] = names  # of placeholders, in the state
        self.state: dict[str, Tensor] = {**program.constants, **program.state_dict}
        self.source = Source()
        self.called: dict[str, str] = {}  # expressions by node
        self.made: dict[tuple[str, ...], str] = {}  # attributes by what they hold
        self.block = ""
        for node in list(program.graph.nodes):
            if "aten.slice" in str(node.target) and node.args[1:3] == (0, 0) and node.args[3] >= EVERYTHING:
                node.replace_all_uses_with(node.args[0])  # the whole batch
                program.graph.erase_node(node)
        nodes = list(program.graph.nodes)
        self.place = {node: place for place, node in enumerate(nodes)}
        self.holds: dict[str, int] = {}  # by variable: behind which node its value is not needed any more
        for node in nodes:
            self._node(node)

    def _node(self, node: Node) -> None:
        if node.op == "placeholder":
            if node.name not in self.keys:
                self.called[node.name] = self._variable(node)
        elif node.op == "output":
            (result,) = node.all_input_nodes
            self.source.forward.append(f"return {self._text(result)}")
        else:
            self._call(node)

    def _call(self, node: Node) -> None:
        if node.target is operator.getitem:
            source, index = node.args
            if "batch_norm" in str(source) and index == 0:
                self.called[node.name] = self.called[str(source)]
                return
            text = f"{self._text(source)}[{index}]"
        else:
            target = str(node.target).removeprefix("aten.")
            name = target.partition(".")[0]
            if name == "sym_size" and all("view" in str(user.target) for user in node.users):
                self.called[node.name] = "-1"  # the batch, which follows from the other sides
                return
            write = _LAYERS.get(name) if self._is_layer(node) else None
            text = write(self, node) if write is not None else self._expression(name, target, node)
        variable = self._variable(node)
        self.source.forward.append(f"{variable} = {text}")
        self.called[node.name] = variable

    def _is_layer(self, node: Node) -> bool:
        """Whether all tensors but the first are weights, rather than computed."""
        return all(each.name in self.keys for each in node.all_input_nodes[1:])

    def _variable(self, node: Node) -> str:
        """The first variable whose value nothing behind `node` needs."""
        here, users = self.place[node], list(node.users)
        for user in node.users:
            if user.target is operator.getitem:
                users += user.users
        free = (name for name in _variables() if self.holds.get(name, -1) <= here)
        name = next(free)
        self.holds[name] = max((self.place[user] for user in users), default=here)
        return name

    def _expression(self, name: str, target: str, node: Node) -> str:
        values = [self._text(value) for value in node.args]
        named = [f"{key}={self._text(value)}" for key, value in node.kwargs.items()]
        rest = ", ".join([*values[1:], *named])
        if name == "sym_size":
            return f"{values[0]}.shape[{values[1]}]"
        if name in INFIX and len(values) == 2 and not named:
            return f"{values[0]} {INFIX[name]} {values[1]}"
        if name == "slice" and not named and len(values) in (4, 5) and values[1] == "1":
            stop = "" if int(values[3]) >= EVERYTHING else values[3]
            step = f":{values[4]}" if len(values) == 5 else ""
            return f"{values[0]}[:, {'' if values[2] == '0' else values[2]}:{stop}{step}]"
        if name == "mean":
            return f"{values[0]}.mean({rest})"
        if name == "clone":
            return f"{values[0]}.clone()"
        if name in ("view", "reshape", "_unsafe_view"):
            return f"{values[0]}.reshape({rest.strip('[]')})"
        if name in METHODS:
            return f"{values[0]}.{name}({rest})"
        if name in IN_F or name in IN_TORCH:
            return f"{'F' if name in IN_F else 'torch'}.{name}({', '.join([values[0], *([rest] if rest else [])])})"
        return f"torch.ops.aten.{target}({', '.join([*values, *named])})"

    def _text(self, value: Any) -> str:
        """`value` of a node's arguments as Python."""
        import torch

        if isinstance(value, list | tuple):
            return f"[{', '.join(self._text(each) for each in value)}]"
        if isinstance(value, torch.dtype | torch.device | torch.layout | torch.memory_format):
            return f'torch.device("{value}")' if isinstance(value, torch.device) else str(value)
        name = getattr(value, "name", None)
        if not isinstance(name, str):
            return repr(value)
        if name in self.keys:
            return self._weight(self.keys[name])
        return self.called[name]

    def _weight(self, key: str) -> str:
        """A tensor that is used as it is, outside of any layer, as an attribute."""
        name = _attribute(key)
        if (name,) not in self.made:
            self.made[(name,)] = name
            tensor = self.state[key].detach()
            self.source.weights[name] = tensor
            shape, dtype = tuple(tensor.shape), str(tensor.dtype)
            self.source.modules.append(f'self.register_buffer("{name}", torch.zeros({shape}, dtype={dtype}))')
        return f"self.{name}"

    def layer(self, node: Node, module: str, parameters: Mapping[str, Any]) -> str:
        """The call of a layer made by `module`, whose state is `parameters` (None: it has none of that name)."""
        import torch

        keys = {name: self.keys[value.name] for name, value in parameters.items() if value is not None}
        owner = next(iter(keys.values())).rpartition(".")[0]
        made = (module, *keys.values())
        if made not in self.made:
            taken = set(self.made.values())
            name = _attribute(owner)
            while name in taken:  # one weight in two different layers
                name += "_again"
            self.made[made] = name
            self._say_block(owner)
            self.source.modules.append(f"self.{name} = {module}")
            self.source.weights |= {f"{name}.{own}": self.state[key].detach() for own, key in keys.items()}
            if "running_mean" in keys:
                counted = torch.zeros((), dtype=torch.int64)
                self.source.weights[f"{name}.num_batches_tracked"] = self.state.get(
                    f"{owner}.num_batches_tracked", counted
                )
        return f"self.{self.made[made]}({self._text(node.args[0])})"

    def _say_block(self, owner: str) -> None:
        """A comment where another block of the network begins."""
        found = re.match(r"[a-z_]+(\.\d+)+", owner)
        block = found[0] if found else ""
        if block and block != self.block:
            for lines in (self.source.modules, self.source.forward):
                lines.append(f"# {block}")
        self.block = block


def _attribute(key: str) -> str:
    return key.replace(".", "_")


def _arguments(node: Node, count: int, defaults: tuple[Any, ...]) -> list[Any]:
    """The arguments of `node`, `count` of them, with the `defaults` of those that are not given last."""
    given = list(node.args)
    return given + list(defaults[len(defaults) - (count - len(given)) :]) if len(given) < count else given


def _side(values: Any) -> str:
    values = list(values) if isinstance(values, list | tuple) else [values, values]
    return repr(values[0] if len(set(values)) == 1 else tuple(values))


def _conv2d(writer: _Writer, node: Node) -> str:
    _, weight, bias, stride, padding, dilation, groups = _arguments(node, 7, (None, [1, 1], [0, 0], [1, 1], 1))
    outputs, per_group, *kernel = writer.state[writer.keys[weight.name]].shape
    said = [f"{per_group * groups}, {outputs}, {_side(kernel)}"]
    for name, value, default in (("stride", stride, "1"), ("padding", padding, "0"), ("dilation", dilation, "1")):
        said += [] if _side(value) == default else [f"{name}={_side(value)}"]
    said += [f"groups={groups}"] if groups != 1 else []
    said += ["bias=False"] if bias is None else []
    return writer.layer(node, f"nn.Conv2d({', '.join(said)})", {"weight": weight, "bias": bias})


def _batch_norm(writer: _Writer, node: Node) -> str:
    _, weight, bias, mean, variance, _, eps = node.args
    channels = len(writer.state[writer.keys[str(mean)]])
    said = f"{channels}" + ("" if eps == 1e-5 else f", eps={eps!r}") + ("" if weight is not None else ", affine=False")
    state = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    return writer.layer(node, f"nn.BatchNorm2d({said})", state)


def _linear(writer: _Writer, node: Node) -> str:
    _, weight, bias = _arguments(node, 3, (None,))
    outputs, inputs = writer.state[writer.keys[weight.name]].shape
    said = f"nn.Linear({inputs}, {outputs}{'' if bias is not None else ', bias=False'})"
    return writer.layer(node, said, {"weight": weight, "bias": bias})


_LAYERS: dict[str, Callable[[_Writer, Node], str]] = {
    "conv2d": _conv2d,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "linear": _linear,
}
