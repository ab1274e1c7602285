"""What an operator is for, derived from its runtime's name for its type."""

import re
from collections.abc import Iterable

from edgetl.runner.operators import Operator

__all__ = ["by_type", "count_of", "is_layer", "role_of"]

# In this order: a ConvTranspose is a layer, and so is what OpenVINO calls FullyConnectedQuantizedLegacy.
_ROLES = {
    "layer": re.compile(r"conv(?!ert)|gemm|matmul|matrixmultiply|fullyconnected|attention"),
    "conversion": re.compile(r"quantize|convert|cast"),
    "layout": re.compile(r"transpose|reorder|permute"),
    "activation": re.compile(r"sigmoid|swish|silu|gelu|erf|tanh|mish|logistic|clamp|clip|elu"),
}
_NAMED = 4


def role_of(operator: Operator) -> str:
    """Return the role of an operator.

    `layer` has weights, `conversion` goes to or from integers, `layout` only moves values, `activation` is a function
    that was not fused into a layer, `float` is any other that computes in float, `other` is the rest.
    """
    text = re.sub(r"[ _]", "", operator.type.lower())
    role = next((role for role, pattern in _ROLES.items() if pattern.search(text)), "other")
    return "float" if operator.computes == "float" and role in ("layer", "other") else role


def is_layer(operator: Operator) -> bool:
    """Whether it has weights, whatever it computes in."""
    return _ROLES["layer"].search(re.sub(r"[ _]", "", operator.type.lower())) is not None


def count_of(operators: Iterable[Operator]) -> int:
    """How many operators one run executes, repeated calls included."""
    return sum(each.calls for each in operators)


def by_type(operators: Iterable[Operator]) -> str:
    """Their number by type, the types that take longest first: `35 QLinearConv, 10 QLinearAdd`."""
    kinds: dict[str, list[Operator]] = {}
    for each in operators:
        kinds.setdefault(each.type, []).append(each)
    ordered = sorted(kinds, key=lambda kind: (-sum(each.seconds or 0.0 for each in kinds[kind]), kind))
    named = [f"{count_of(kinds[kind])} {kind}" for kind in ordered[:_NAMED]]
    more = sum(count_of(kinds[kind]) for kind in ordered[_NAMED:])
    return ", ".join([*named, *([f"{more} more"] if more else [])])
