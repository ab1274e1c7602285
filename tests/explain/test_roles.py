"""What operators are for, by the names that three runtimes give them."""

import pytest
from cases import operator

from edgetl.explain.pairs import layer_pairs
from edgetl.explain.roles import by_type, role_of


@pytest.mark.parametrize(
    ("role", "kinds"),
    [
        ("layer", "QLinearConv QGemm MatMulInteger ConvTranspose DynamicQuantizeMatMul Convolution GroupConvolution"),
        (
            "layer",
            "FullyConnectedQuantizedLegacy CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED BATCH_MATMUL TRANSPOSE_CONV",
        ),
        ("conversion", "QuantizeLinear DequantizeLinear Cast Convert QUANTIZE DEQUANTIZE FakeQuantize"),
        ("layout", "Transpose Reorder ReorderInput ReorderOutput TRANSPOSE"),
        ("activation", "HardSigmoid HARD_SWISH QLinearSigmoid LOGISTIC Gelu Clip RELU6 Elu"),
        ("other", "QLinearAdd ReduceMean MEAN ADD Subgraph Softmax MaxPool"),
    ],
)
def test_the_type_tells_the_role(role, kinds):
    assert {kind: role_of(operator(kind, "integer", 1.0)) for kind in kinds.split()} == dict.fromkeys(
        kinds.split(), role
    )


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("Convolution (NHWC, QC8) DWConv", "layer"),
        ("Fully Connected (NC, QS8, QC8W) GEMM", "layer"),
        ("Convert (NC)", "conversion"),
        ("Transpose (ND, X8)", "layout"),
        ("Mean (ND) Reduce", "other"),
    ],
)
def test_the_types_of_xnnpack_have_spaces(kind, role):
    assert role_of(operator(kind, None, 1.0)) == role


def test_only_layers_and_others_can_be_left_in_float():
    kinds = ["Conv", "Mul", "HardSigmoid", "QuantizeLinear", "Transpose"]
    roles = [role_of(operator(kind, "float", 1.0)) for kind in kinds]
    assert roles == ["float", "float", "activation", "conversion", "layout"]


def test_types_are_counted_the_longest_first():
    some = [operator("Add", None, 0.1), operator("Mul", None, 0.3, calls=2), operator("Add", None, 0.1)]
    assert by_type(some) == "2 Mul, 2 Add"
    assert by_type([*some, *(operator(kind, None, 0.01) for kind in "ABCD")]) == "2 Mul, 2 Add, 1 A, 1 B, 2 more"


def names_of(floats, integers):
    return [(before.name, after.name) for before, after in layer_pairs(floats, integers)]


def layers(*names, kind="Conv", calls=1):
    return [operator(kind, None, 1.0, name, calls) for name in names]


def test_layers_are_paired_by_name_even_where_one_is_missing():
    assert names_of(layers("a", "b", "c"), layers("c", "a")) == [("c", "c"), ("a", "a")]


def test_layers_with_new_names_are_paired_in_order():
    other = operator("Softmax", None, 1.0, "s")
    assert names_of([*layers("a", "b"), other], [other, *layers("x", "y")]) == [("a", "x"), ("b", "y")]


def test_nothing_is_paired_where_the_order_cannot_tell():
    assert names_of(layers("a", "b"), layers("x")) == []
    assert names_of(layers("", ""), layers("", calls=2) + layers("")) == []
