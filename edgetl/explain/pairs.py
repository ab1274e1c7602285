"""The same layer in two files of one network."""

from collections.abc import Sequence

from edgetl.explain.roles import is_layer
from edgetl.runner.operators import Operator

__all__ = ["layer_pairs"]


def layer_pairs(floats: Sequence[Operator], integers: Sequence[Operator]) -> list[tuple[Operator, Operator]]:
    """Find each layer of the integer file in the float file: by its name, or by its position if no names match.

    A runtime may rename what it fuses. Then the order of execution decides, provided that both files have equally many
    layers and each runs once. Otherwise nothing is paired, since a wrong pair would give a wrong reason.
    """
    before, after = (list(filter(is_layer, each)) for each in (floats, integers))
    by_name = {each.name: each for each in before if each.name}
    named = [(by_name[each.name], each) for each in after if each.name in by_name]
    if named and 2 * len(named) >= len(after):
        return named
    in_order = len(before) == len(after) and all(each.calls == 1 for each in (*before, *after))
    return list(zip(before, after, strict=True)) if in_order else []
