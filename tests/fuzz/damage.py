"""What may happen to a file: bytes flip, files are cut short, values become others; all by a seeded `Random`."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

import numpy as np
import torch
import yaml

DEEP, ENDLESS, HUGE = "@deep@", "@endless@", "@huge@"  # written by `as_json`: what no Python value is dumped as
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, -0.5, 10**6, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**40),
    *(float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 1e-320, DEEP, ENDLESS, HUGE),
    *("", "x", "0", "nan", "${seed}", "${oc.env:HOME}", "../../x", "a\nb", "\x1b[2J", "\x00", "\ud800", "é" * 50),
    *("<script>", "x" * 20_000, "os.system", [], {}, [[]], [None], {"": 1}, {"kind": {}}, {"_target_": "os.system"}),
    *([1, "a"], [0] * 5000, ["x"] * 3, {"a": {"b": [1, {}]}}, [True], [-1], [1e30]),
)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML = (  # texts that take the place of a value
    *("!!python/object/apply:os.system ['true']", "&x [*x]", "*nowhere", "2020-13-45", "1_000", "0o777", "1:20:30"),
    *(".nan", "-.inf", "1e999", "!!binary aGVsbG8=", "!!set {a}", "{? [a]: b}", "{1: a}", "{null: a}", "[" * 5000),
    *("2001-01-01", "<<", "!!int x", "!!float x", "\t", "'", "{", "!x y", "0x" + "f" * 40, "~", "9" * 400),
)


def bytes_damaged(content: bytes, rng: Random) -> tuple[bytes, str]:
    """`content` with bytes flipped, cut off, inserted, doubled or taken out."""
    data = bytearray(content)
    at = rng.randrange(len(data)) if data else 0
    kind = rng.choice(("flip", "flip", "cut", "insert", "overwrite", "remove", "repeat", "empty", "long line"))
    if kind == "flip" and data:
        for _ in range(rng.choice((1, 1, 3, 20))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "insert":
        data[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
    elif kind == "overwrite":
        data[at : at + 16] = rng.randbytes(16)
    elif kind == "remove":
        del data[at : at + rng.choice((1, 10, 1000))]
    elif kind == "repeat":
        data += data[at:]
    elif kind == "long line":
        data[at:at] = rng.choice((b"9", b"x", b"[", b" ", b"\xff")) * 100_000
    else:
        data.clear()
    return bytes(data), f"bytes: {kind} at {at}"


def value_damaged(value: Any, rng: Random) -> tuple[Any, str]:
    """A copy of plain `value` in which one value, at any depth, is another, is gone, or has company."""
    root = [copy.deepcopy(value)]
    holder, key, path = _somewhere(root, rng)
    kind = rng.choice(("odd", "odd", "odd", "remove", "add", "scale", "elsewhere", "wrap", "repeat"))
    old = holder[key]
    if kind == "remove" and holder is not root:
        del holder[key]
    elif kind == "add" and isinstance(old, dict):
        old[rng.choice(("extra", "", "_target_", "kind", "a b", "__class__"))] = rng.choice(ODD)
    elif kind == "add" and isinstance(old, list):
        old.append(rng.choice(ODD))
    elif kind == "scale" and isinstance(old, int | float) and not isinstance(old, bool):
        holder[key] = old * rng.choice((-1, 0, 1000, 10**12, 1e-12, 1.5))
    elif kind == "elsewhere":
        other, name, _ = _somewhere(root, rng)
        holder[key] = copy.deepcopy(other[name])
    elif kind == "wrap":
        holder[key] = rng.choice(([old], {"x": old}, [old, old]))
    elif kind == "repeat" and isinstance(old, list) and old:
        old.extend(copy.deepcopy(old) * rng.choice((1, 3)))
    else:
        kind, holder[key] = "odd", copy.deepcopy(rng.choice(ODD))
    shown = repr(holder[key])[:60] if kind != "remove" else "gone"
    return root[0], f"{path} ({kind}): {shown}"


def _somewhere(root: list[Any], rng: Random) -> tuple[Any, Any, str]:
    """A container inside `root`, a key of it, and the path there; values near the top come up as often as deep ones."""
    holder: Any = root
    key: Any = 0
    path = "$"
    while isinstance(holder[key], dict | list) and holder[key] and rng.random() < 0.8:
        holder = holder[key]
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        path += f".{key}"
    return holder, key, path


def as_json(value: Any) -> bytes:
    """`value` as JSON, with the literals that only some programs write."""
    text = json.dumps(value)
    text = text.replace(f'"{DEEP}"', "[" * 10_000 + "]" * 10_000).replace(f'"{ENDLESS}"', "1e999")
    text = text.replace(f'"{HUGE}"', "9" * 6000)
    return text.encode()


def yaml_damaged(content: bytes, rng: Random) -> tuple[bytes, str]:
    """YAML with another value, or with one of the texts that mean more to YAML than they look like."""
    if rng.random() < 0.1:
        return BOMB.encode() + content, "yaml: aliases of aliases"
    if rng.random() < 0.5:
        lines = content.decode().splitlines()
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(": ")
        chosen = rng.choice(YAML)
        lines[at] = f"{key}{colon or ': '}{chosen}"
        return "\n".join(lines).encode(), f"yaml: line {at + 1} is {lines[at][:80]!r}"
    found, what = value_damaged(yaml.safe_load(content), rng)
    return yaml.safe_dump(found, sort_keys=False).encode(errors="surrogatepass"), f"yaml: {what}"


def table_damaged(content: bytes, rng: Random) -> tuple[bytes, str]:
    """Lines of text whose cells are others, doubled, or gone."""
    lines = content.decode().splitlines()
    at = rng.randrange(len(lines))
    kind = rng.choice(("cell", "cell", "cell", "remove", "repeat", "swap", "quote", "header"))
    if kind == "remove":
        del lines[at]
    elif kind == "repeat":
        lines.insert(at, lines[at])
    elif kind == "swap":
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == "quote":
        lines[at] = rng.choice(('"', "'", ";", ",,,,", "\t", "#")) + lines[at]
    else:
        row = 0 if kind == "header" else at
        separator = "," if "," in lines[row] else " "
        cells = lines[row].split(separator)
        odd = (
            "",
            "nan",
            "inf",
            "-inf",
            "-1",
            "1e999",
            "9" * 400,
            "1,5",
            "0x10",
            "1_000",
            "x" * 200_000,
            "\x1b[2J",
            "½",
        )
        cells[rng.randrange(len(cells))] = rng.choice((*odd, "٣", '"', "1e-400", "None", "\x85", "\u2028"))
        lines[row] = separator.join(cells)
    return "\n".join(lines).encode(), f"table: {kind} at line {at + 1}: {lines[min(at, len(lines) - 1)][:80]!r}"


def arrays_damaged(arrays: dict[str, np.ndarray], rng: Random) -> tuple[dict[str, np.ndarray], str]:
    """Arrays of which one has other numbers, another type or shape, or is gone."""
    found = dict(arrays)
    name = rng.choice(sorted(found))
    old = found[name]
    changes: dict[str, Any] = {
        "float": lambda: old.astype(np.float64) if old.dtype.kind in "iuf" else np.zeros(3),
        "complex": lambda: np.full(old.shape, 1 + 2j),
        "text": lambda: np.array(["x"] * max(1, len(old.reshape(-1)) // 100)),
        "objects": lambda: np.array([{"a": 1}, None], dtype=object),
        "scalar": lambda: np.array(3),
        "empty": lambda: old[:0] if old.ndim else np.zeros(0),
        "flat": lambda: old.reshape(-1),
        "more axes": lambda: old[None, ..., None],
        "half": lambda: old[: len(old) // 2] if old.ndim else old,
        "largest": lambda: _with(old, np.iinfo(np.int64).max),
        "negative": lambda: _with(old, -1),
        "billion": lambda: _with(old, 10**9),
        "nan": lambda: _with(old.astype(np.float64) if old.dtype.kind in "iuf" else np.zeros(3), np.nan),
        "dates": lambda: np.array(["2020-01-01"], dtype="datetime64[D]"),
        "records": lambda: np.zeros(4, dtype=[("a", "i4"), ("b", "f8")]),
        "unsigned": lambda: np.full(old.shape, 2**63, dtype=np.uint64),
    }
    kind = rng.choice((*changes, "gone", "renamed"))
    if kind in ("gone", "renamed"):
        del found[name]
        if kind == "renamed":
            found[f"{name}x"] = old
    else:
        found[name] = changes[kind]()
    return found, f"arrays: {name} ({kind})"


def _with(old: np.ndarray, value: Any) -> np.ndarray:
    found = np.array(old, dtype=old.dtype if old.dtype.kind == "f" else np.int64) if old.dtype.kind in "iuf" else old
    if found.size and found.dtype.kind in "if":
        found = found.copy()
        found.reshape(-1)[-1] = value
    return found


def state_damaged(state: dict[str, Any], rng: Random) -> tuple[dict[str, Any], str]:
    """A checkpoint's content with another value, or with a tensor of another shape or type."""
    tensors = [key for key, value in state.items() if isinstance(value, torch.Tensor)]
    if not tensors or rng.random() < 0.5:
        found, what = value_damaged(state, rng)
        return found, f"state: {what}"
    key = rng.choice(tensors)
    old = state[key]
    odd = (
        old.int(),
        old[None],
        old.double(),
        old * float("nan"),
        old.flatten()[:0],
        old.to(torch.complex64),
        old.half(),
    )
    value = rng.choice((*odd, torch.eye(2).to_sparse(), torch.empty(0), torch.ones(2, dtype=torch.bool)))
    return {**state, key: value}, f"state: {key} is {value.dtype} {tuple(value.shape)}"
