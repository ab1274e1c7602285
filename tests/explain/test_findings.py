"""Each reason, its share, and what it tells to do; everything is computed from made-up measurements."""

import pytest
from cases import case, operator

from edgetl.explain.findings import findings, speed

FLOATS = [operator("Conv", "float", 1.0, "a"), operator("Conv", "float", 0.5, "b"), operator("Softmax", "float", 0.1)]
INTEGERS = [operator("QLinearConv", "integer", 0.4, "a"), operator("QLinearConv", "integer", 0.5, "b")]


def told(before, after, **more):
    """All findings by kind."""
    return {each.kind: each for each in findings(case(before, after, **more))}


@pytest.mark.parametrize(
    ("after_ms", "what", "advice"),
    [
        (
            1.0,
            "w8a8 is 2.00 times as fast as fp32 here: 1 ms against 2 ms.",
            "Integers are worth it in this format.",
        ),
        (2.5, "w8a8 takes 1.25 times as long as fp32 here: 2.5 ms against 2 ms.", "model.w8a8.onnx is only smaller"),
        (1.99, "w8a8 is as fast as fp32 here: 1.99 ms against 2 ms.", "saves size, not time"),
        (2.05, "w8a8 is as fast as fp32 here: 2.05 ms against 2 ms.", "saves size, not time"),
    ],
)
def test_the_first_thing_said_is_whether_integers_are_faster(after_ms, what, advice):
    found = speed(case(FLOATS, INTEGERS, after_ms=after_ms))
    assert (found.what, found.share, found.milliseconds) == (what, None, after_ms)
    assert advice in found.advice
    assert findings(case(FLOATS, INTEGERS, after_ms=after_ms))[0] == found


def test_a_file_that_two_threads_only_slow_down_is_compared_with_one():
    """The threads of a tiny network wait for each other."""
    tiny = case(FLOATS, INTEGERS, before_ms=0.48, after_ms=0.53, threads=2, one_thread_ms=(0.7, 0.24))
    found = speed(tiny)
    assert found.what == (
        "w8a8 is 2.00 times as fast as fp32 here: 0.24 ms against 0.48 ms, each with its best number of threads."
    )
    assert found.milliseconds == 0.24


def test_the_shares_add_up_and_the_largest_comes_first():
    after = [
        *INTEGERS, operator("QuantizeLinear", "float", 0.05), operator("DequantizeLinear", "integer", 0.05),
        operator("Transpose", "integer", 0.3), operator("Mul", "float", 0.2), operator("HardSigmoid", "float", 0.25),
        operator("QLinearAdd", "integer", 0.25),
    ]  # fmt: skip
    found = findings(case(FLOATS, after))
    shares = {each.kind: each.share for each in found}
    assert shares == {
        "speed": None, "layers": pytest.approx(0.45), "no gain": None, "layout": pytest.approx(0.15),
        "activation": pytest.approx(0.125), "other": pytest.approx(0.125), "float": pytest.approx(0.1),
        "conversion": pytest.approx(0.05), "threads": None,
    }  # fmt: skip
    assert sum(share for share in shares.values() if share) == pytest.approx(1)
    in_order = [each.share for each in found if each.share is not None]
    assert in_order == sorted(in_order, reverse=True)
    assert {each.kind: each.milliseconds for each in found}["layout"] == pytest.approx(0.3)


def test_layers_are_set_beside_the_same_in_float():
    found = told(FLOATS, INTEGERS)
    assert found["layers"].what == "2 layers in integers; the same in float take 1.5 ms, 1.67 times as long."
    assert found["no gain"].what == "1 of the 2 layers gain nothing: 0.5 ms, against 0.5 ms in float (1 QLinearConv)."
    assert "Compare the formats" in found["no gain"].advice


def test_layers_of_microseconds_are_called_too_small():
    before = [operator("Conv", "float", 0.010, "a"), operator("Conv", "float", 1.0, "b")]
    after = [operator("QLinearConv", "integer", 0.012, "a"), operator("QLinearConv", "integer", 0.3, "b")]
    assert "too small to gain" in told(before, after)["no gain"].advice


def test_where_every_layer_gains_nothing_is_said_against_them():
    faster = [operator("QLinearConv", "integer", 0.2, "a"), operator("QLinearConv", "integer", 0.1, "b")]
    assert "no gain" not in told(FLOATS, faster)


def test_layers_that_cannot_be_paired_are_not_compared():
    found = told(FLOATS[:1], [operator("QLinearConv", "integer", 0.4), operator("QLinearConv", "integer", 0.5)])
    assert found["layers"].what == "2 layers in integers."
    assert "no gain" not in found


@pytest.mark.parametrize(
    ("float_layers", "advice"),
    [
        (0, "The file has them in integers, but this runtime computes them in float"),
        (2, "'edgetl quantize' says which layers it had to leave in float"),
        (None, "'edgetl quantize' says which layers it had to leave in float"),
    ],
)
def test_layers_left_in_float_are_named_with_who_left_them(float_layers, advice):
    after = [INTEGERS[0], operator("Conv", "float", 0.5, "b/Convolution"), operator("Softmax", "float", 0.1)]
    found = told(FLOATS, after, float_layers=float_layers)["float"]
    assert found.what == "2 operators left in float: 1 Conv, 1 Softmax."
    assert found.advice.startswith(advice)
    assert found.advice.endswith("1 layer among them: b")
    assert found.share == pytest.approx(0.6)


def test_what_stays_in_float_on_purpose_is_not_held_against_the_file():
    few = [*INTEGERS, operator("Sub", "float", 0.1), operator("Softmax", "float", 0.1)]
    assert "stay in float for accuracy" in told(FLOATS, few)["float"].advice
    many = [*INTEGERS, *[operator("Mul", "float", 0.1)] * 5]
    assert "costs a conversion to float and back" in told(FLOATS, many)["float"].advice


def test_conversions_at_the_ends_are_due_and_pairs_in_the_middle_are_not():
    before = [*FLOATS, operator("Cast", "integer", 0.1)]
    ends = [operator("Cast", "integer", 0.1), operator("QuantizeLinear", "float", 0.1)]
    ends += [operator("DequantizeLinear", "integer", 0.1)]
    assert told(before, [*INTEGERS, *ends])["conversion"].advice.startswith("Nothing to do")
    middle = told(before, [*INTEGERS, *ends, operator("DequantizeLinear", "integer", 0.1)])["conversion"]
    assert middle.what == (
        "4 conversions between integers and float, not fused: 2 DequantizeLinear, 1 Cast, 1 QuantizeLinear."
    )
    assert "without an integer kernel" in middle.advice


def test_activations_that_stand_alone_ask_for_another_student():
    found = told(FLOATS, [*INTEGERS, operator("HARD_SWISH", "integer", 2.1, calls=19)])["activation"]
    assert found.what == "19 activations that were not fused into a layer: 19 HARD_SWISH."
    assert found.share == pytest.approx(0.7)
    assert "mobilenetv2" in found.advice


def test_what_takes_less_than_a_hundredth_is_told_together():
    small = [operator("Transpose", "integer", 0.008), operator("QuantizeLinear", "float", 0.004)]
    found = told(FLOATS, [*INTEGERS, *small])
    assert not {"layout", "conversion"} & found.keys()
    assert found["rest"].milliseconds == pytest.approx(0.012)
    assert sum(each.share or 0.0 for each in found.values()) == pytest.approx(1)


def test_without_times_there_are_counts_and_no_shares():
    before = [operator("CONV_2D", "float", None), operator("SOFTMAX", "float", None)]
    after = [
        operator("QUANTIZE", "float", None),
        operator("CONV_2D", "integer", None),
        operator("SOFTMAX", "float", None),
    ]
    found = told(before, after)
    assert [(each.share, each.milliseconds) for each in found.values()][1:] == [(None, None)] * 4
    assert found["layers"].what == "1 layer in integers."
    assert found["float"].what == "1 operator left in float: 1 SOFTMAX."
    assert found["conversion"].what == "1 conversion between integers and float, not fused: 1 QUANTIZE."
    assert "no gain" not in found
