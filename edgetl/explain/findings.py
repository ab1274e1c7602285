"""The reasons: pure functions from what was measured to sentences, each with its share of the time and advice.

Every operator of the integer artifact belongs to one reason, so that the shares add up to the whole. Layers that gain
nothing are mentioned a second time, without a share.
"""

from collections.abc import Sequence

from edgetl.explain.case import ALIKE, Case, Finding
from edgetl.explain.pairs import layer_pairs
from edgetl.explain.roles import by_type, count_of, is_layer, role_of
from edgetl.explain.surroundings import about_threads
from edgetl.runner.operators import Operator
from edgetl.runs.words import counted

__all__ = ["findings", "speed"]

_WORTH_TELLING = 0.01
"""Reasons with a smaller share are told together: a remedy would make no noticeable difference."""

_SMALL_MS = 0.02
"""A layer that takes less is small: dispatching and rescaling it cost as much as its sums."""

_ON_PURPOSE = 4
"""Operators that edgetl itself leaves in float: the scaling of pixels and the softmax."""

_NAMED = 3


def findings(case: Case) -> list[Finding]:
    """Say whether integers are faster, then why or why not: the largest shares first, the threads last."""
    parts: dict[str, list[Operator]] = {}
    for operator in case.after.operators:
        parts.setdefault(role_of(operator), []).append(operator)
    told = [_TELL[role](operators, case) for role, operators in parts.items()]
    large = [each for each in told if each.share is None or each.share >= _WORTH_TELLING]
    large.sort(key=lambda each: -(each.share or 0.0))
    return [speed(case), *large, *_rest(told), *_no_gain(case), about_threads(case)]


def _rest(told: Sequence[Finding]) -> list[Finding]:
    """The reasons with small shares, in one."""
    small = [each for each in told if each.share is not None and each.share < _WORTH_TELLING]
    if not small:
        return []
    share, took_ms = sum(each.share or 0.0 for each in small), sum(each.milliseconds or 0.0 for each in small)
    return [Finding("rest", "All the rest.", share, took_ms, "Too little to gain anything by a remedy.")]


def speed(case: Case) -> Finding:
    """Say whether the integer artifact is faster, and by how much."""
    before, after = case.before, case.after
    before_ms, after_ms = case.best_ms
    ratio = before_ms / after_ms
    times = f"{after_ms:.3g} ms against {before_ms:.3g} ms"
    if (before_ms, after_ms) != (before.p50_ms, after.p50_ms):
        times += ", each with its best number of threads"
    if ratio > 1 + ALIKE:
        what = f"{after.precision} is {ratio:.2f} times as fast as {before.precision} here: {times}."
        advice = "Integers are worth it in this format."
    elif ratio < 1 / (1 + ALIKE):
        what = f"{after.precision} takes {1 / ratio:.2f} times as long as {before.precision} here: {times}."
        advice = f"On a machine like this one {after.file} is only smaller."
    else:
        what = f"{after.precision} is as fast as {before.precision} here: {times}."
        advice = f"On a machine like this one {after.file} saves size, not time."
    return Finding("speed", what, None, after_ms, advice)


def _layers(operators: list[Operator], case: Case) -> Finding:
    """The layers that were quantized, compared with the same layers in float."""
    what = f"{_number(operators, 'layer')} in integers"
    pairs = _pairs(operators, case)
    before_ms, after_ms = _both_ms(pairs, case)
    if after_ms and 2 * len(pairs) > len(operators):
        which = "the same" if len(pairs) == len(operators) else f"{len(pairs)} of them"
        what += f"; {which} in float take {before_ms:.3g} ms, {before_ms / after_ms:.2f} times as long"
    return _finding("layers", f"{what}.", operators, case, "Here integers can win; all other time dilutes the gain.")


def _no_gain(case: Case) -> list[Finding]:
    """Layers that are not faster in integers than in float."""
    pairs = _pairs([each for each in case.after.operators if role_of(each) == "layer"], case)
    slow = [pair for pair in pairs if _gains_nothing(*_both_ms([pair], case))]
    if not slow:
        return []
    layers = [after for _, after in slow]
    before_ms, after_ms = _both_ms(slow, case)
    what = (
        f"{len(slow)} of the {len(pairs)} layers gain nothing: {after_ms:.3g} ms, against {before_ms:.3g} ms in float"
        f" ({by_type(layers)})."
    )
    if after_ms / len(slow) < _SMALL_MS:
        advice = "They are too small to gain: rescaling costs what the sums save. Larger images or wider layers gain."
    else:
        advice = "Integer kernels for them are no better here. Compare the formats."
    return [Finding("no gain", what, None, None, advice)]


def _gains_nothing(before_ms: float, after_ms: float) -> bool:
    return after_ms > 0 and after_ms >= (1 - ALIKE) * before_ms


def _in_float(operators: list[Operator], case: Case) -> Finding:
    """Layers and others that compute in float; activations, conversions and moves have findings of their own."""
    what = f"{_number(operators, 'operator')} left in float: {by_type(operators)}."
    layers = [each for each in operators if is_layer(each)]
    if layers:
        advice = _layers_in_float(layers, case)
    elif count_of(operators) <= _ON_PURPOSE:
        advice = "No layer is among them: scaling pixels and the softmax stay in float for accuracy."
    else:
        advice = "No layer is among them, but each costs a conversion to float and back. Compare the formats."
    return _finding("float", what, operators, case, advice)


def _layers_in_float(layers: list[Operator], case: Case) -> str:
    names = [(each.name or each.type).partition("/")[0] for each in layers]
    among = f"{', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"
    if case.float_layers == 0:
        cause = "The file has them in integers, but this runtime computes them in float: compare the formats"
    else:
        cause = "'edgetl quantize' says which layers it had to leave in float, and why"
    return f"{cause}. {_number(layers, 'layer')} among them: {among}"


def _activations(operators: list[Operator], case: Case) -> Finding:
    what = f"{_number(operators, 'activation')} that were not fused into a layer: {by_type(operators)}."
    advice = "A student with ReLU has none: mobilenetv2, efficientnet_lite0, resnet18."
    return _finding("activation", what, operators, case, advice)


def _conversions(operators: list[Operator], case: Case) -> Finding:
    what = f"{_number(operators, 'conversion')} between integers and float, not fused: {by_type(operators)}."
    in_float_file = [each for each in case.before.operators if role_of(each) == "conversion"]
    if count_of(operators) <= count_of(in_float_file) + 2:
        advice = "Nothing to do: a file needs them where integer computation starts and ends."
    else:
        advice = "They surround operators without an integer kernel, listed separately. Another format may have one."
    return _finding("conversion", what, operators, case, advice)


def _layouts(operators: list[Operator], case: Case) -> Finding:
    what = f"{_number(operators, 'operator')} that only move values: {by_type(operators)}."
    advice = "If their share is large, compare the formats: TFLite keeps the images' own layout throughout."
    return _finding("layout", what, operators, case, advice)


def _others(operators: list[Operator], case: Case) -> Finding:
    what = f"{_number(operators, 'operator')} besides the layers: {by_type(operators)}."
    advice = "In float a runtime may fuse them into the layers. A network with fewer branches has fewer of them."
    return _finding("other", what, operators, case, advice)


_TELL = {
    "layer": _layers,
    "float": _in_float,
    "activation": _activations,
    "conversion": _conversions,
    "layout": _layouts,
    "other": _others,
}


def _finding(kind: str, what: str, operators: list[Operator], case: Case, advice: str) -> Finding:
    if not case.after.timed:
        return Finding(kind, what, None, None, advice)
    total_ms, part_ms = case.after.milliseconds(), case.after.milliseconds(operators)
    return Finding(kind, what, part_ms / total_ms if total_ms else None, part_ms, advice)


def _pairs(layers: Sequence[Operator], case: Case) -> list[tuple[Operator, Operator]]:
    """Pairs of these layers and their float counterparts, if both have times."""
    if not case.timed:
        return []
    chosen = {id(each) for each in layers}
    return [pair for pair in layer_pairs(case.before.operators, case.after.operators) if id(pair[1]) in chosen]


def _both_ms(pairs: Sequence[tuple[Operator, Operator]], case: Case) -> tuple[float, float]:
    return case.before.milliseconds(b for b, _ in pairs), case.after.milliseconds(a for _, a in pairs)


def _number(operators: Sequence[Operator], noun: str) -> str:
    count = count_of(operators)
    return counted(count, noun)
