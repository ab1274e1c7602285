"""YAML that people write: plain, small, without surprises.

Beyond what PyYAML's safe loader refuses, there are no aliases (nine nested ones fill the memory), no key twice (the
last one would win in silence), no depth that overflows the stack; and `1:30` is text, where YAML 1.1 reads 90.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

__all__ = ["LARGEST_BYTES", "parsed"]

LARGEST_BYTES = 1_000_000
"""A recipe with every field takes 20 kB."""

_DEEPEST = 20

_INTEGER = re.compile(r"(?:[-+]?(?:0|[1-9][0-9]{0,17})|0x[0-9a-fA-F]{1,15})\Z")
_FLOAT = re.compile(
    r"(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?|[-+]?[0-9]+[eE][-+]?[0-9]{1,4}"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
"""Those of YAML 1.2, without octal numbers and those of base 60."""

_NUMBERS = {"tag:yaml.org,2002:int": _INTEGER, "tag:yaml.org,2002:float": _FLOAT}


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _problem("an alias (*) is not allowed here", self.peek_event())  # type: ignore[no-untyped-call]
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _problem("is nested too deeply", self.peek_event())  # type: ignore[no-untyped-call]
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _problem(f"the key {key.value!r} comes twice", key)
                seen.add(key.value)
        found: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return found


_Loader.yaml_implicit_resolvers = {
    first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in known if "timestamp" not in tag]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parsed(text: str) -> Any:
    """The data that a text stands for.

    Raises:
        yaml.YAMLError: It is no such YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a safe loader
    except ValueError as cause:  # such as `!!int abc`
        raise yaml.YAMLError(str(cause)) from cause


def _problem(text: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=where.start_mark)
