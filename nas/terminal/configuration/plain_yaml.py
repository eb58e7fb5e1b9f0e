"""YAML that somebody else may have written: data alone, and no more of it than its text is long."""

from __future__ import annotations

from typing import Any

import yaml

from search_spaces.plain_data import plain_json

NODES = 100_000  # values a file may hold, each alias counted as all it stands for


def read_yaml(text: str) -> Any:
    """The plain values in `text`.

    What looks like a date is text, as in a card. Raises `yaml.YAMLError` for other text, a loop of aliases, more than
    `NODES` values, deep nesting, huge numbers, and what is not a plain value (bytes, a set).
    """
    loader = _Shallow(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _check_size(root)
        value = loader.construct_document(root)
        plain_json.check_size(value)
        _check_plain(value)
        return value
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (ValueError, OverflowError, TypeError, AttributeError) as error:  # tags that do not fit what they stand at
        raise yaml.YAMLError(str(error)) from None
    finally:
        loader.dispose()


def write_yaml(value: Any) -> str:
    """Plain `value` as YAML, keys in their order, without aliases."""
    return yaml.dump(value, Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True)


class _Shallow(yaml.SafeLoader):
    """Refuses deep nesting as soon as it is read: the time that PyYAML takes grows with the square of the depth."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (as PyYAML declares it)
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        if self.flow_level >= plain_json.MAX_DEPTH:
            raise yaml.YAMLError("it is nested too deeply")
        super().fetch_flow_collection_start(TokenClass)


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _check_plain(value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str | int | float | None):
                raise yaml.YAMLError(f"it has the key {key!r}, which is not text")
            _check_plain(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_plain(inner)
    elif not isinstance(value, str | int | float | None):
        raise yaml.YAMLError(f"it holds {str(value)[:40]!r}, a {type(value).__name__}, which no setting is")


def _check_size(root: yaml.Node) -> None:
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        key = id(node)
        if key not in sizes:
            sizes[key] = NODES  # while it is open: an alias inside it would refer to itself
            sizes[key] = 1 + sum(size(child) for child in _children(node))
        if sizes[key] >= NODES:
            raise yaml.YAMLError(f"it refers to itself, or its aliases unfold to {NODES:,} values or more")
        return sizes[key]

    size(root)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
