"""YAML as people write it: plain data only, every key once, nothing that grows when it is read.

A date is text, since no field of ours is one; tags that make objects are refused, bytes and sets
as well; an alias stands for what it names, unless that contains it or multiplies beyond measure.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, ClassVar, Final

import yaml

from omnicost.errors import InputError

MOST_VALUES: Final = 100_000  # of a file, aliases counted each time
_PLAIN: Final = ("str", "int", "float", "bool", "null", "seq", "map")
_TAG: Final = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """The safe loader without what is not plain data."""

    yaml_constructors: ClassVar = {
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.removeprefix(_TAG) in _PLAIN
    }
    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]
        first: [(tag, pattern) for tag, pattern in known if tag != f"{_TAG}timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def parse_yaml(text: str | bytes, where: object, remedy: str = "mend the file") -> Any:
    """Plain data: dictionaries, lists, text, numbers, booleans and None.

    Args:
        where: names the file or option in errors.

    Raises:
        InputError: if it is not YAML, or no plain data; says in which line.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, (), {})
        return loader.construct_document(node)
    except RecursionError:
        raise InputError(where, "is nested too deeply", "flatten it") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(where, f"is not YAML ({_reason(error)})", remedy) from None


def _count(node: yaml.Node, above: tuple[yaml.Node, ...], counted: dict[yaml.Node, int]) -> int:
    """How many values a node stands for, what aliases name counted each time.

    Raises:
        YAMLError: if it contains itself, is too large, or has a key twice.
    """
    if node in above:
        raise _refusal(node, "an alias refers to what contains it")
    if node not in counted:
        if isinstance(node, yaml.MappingNode):
            _require_once(node)
        inside = (_count(each, (*above, node), counted) for each in _children(node))
        counted[node] = 1 + sum(inside)
    if counted[node] > MOST_VALUES:
        raise _refusal(node, f"aliases make it more than {MOST_VALUES:,} values")
    return counted[node]


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return chain.from_iterable(node.value)
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _require_once(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise _refusal(key, f"the key {key.value!r} occurs twice")
            seen.add((key.tag, key.value))


def _refusal(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _reason(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark is not None else ""
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    return place + " ".join(str(problem).split())
