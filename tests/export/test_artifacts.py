"""What is exported, converted for real: every promise about a float artifact, read from the file and its runtime."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_run
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from heard import Heard

from edgetl.errors import RunFolderError
from edgetl.export import stage as export
from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session
from edgetl.runner.contract import Contract
from edgetl.runs.folder import RunFolder
from edgetl.zoo.deployable import load_deployable

SIDE = 16
IMAGES = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
ARTIFACTS = [
    (model, f"model.fp32{suffix}")
    for model in ("test_resnet", "test_efficientnet")
    for suffix in (".onnx", ".tflite", ".xml")
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run folder with artifacts, for each network."""
    untrained = small_run.untrained(tmp_path_factory.mktemp("resnet"), "test_resnet")
    export.run(small_run.context(untrained, untrained.path))
    facts = {name: untrained.manifest[name] for name in ("model", "contract")}
    return {
        "test_resnet": small_run.run_of(untrained.path, **facts),
        "test_efficientnet": RunFolder.open(small_run.quantized(tmp_path_factory.getbasetemp())),
    }


@pytest.fixture(params=ARTIFACTS, ids=" ".join)
def artifact(request, runs):
    """A run folder and one of its float files."""
    model, name = request.param
    return runs[model], runs[model].file(name)


def opened(file):
    return open_model(file, Session(threads=1))


def expected(folder, images=IMAGES):
    with torch.inference_mode():
        return load_deployable(folder)(torch.from_numpy(images)).numpy()


def test_raw_pixels_in_pytorchs_probabilities_out(artifact):
    folder, file = artifact
    found_NK = opened(file).run(IMAGES)
    np.testing.assert_allclose(found_NK, expected(folder), rtol=0, atol=1e-4)
    np.testing.assert_allclose(found_NK.sum(axis=1), 1, atol=1e-5)
    assert found_NK.dtype == np.float32
    assert np.ptp(found_NK, axis=0).max() > 1e-3, "the images are told apart"


def test_the_file_carries_the_runs_contract(artifact):
    folder, file = artifact
    assert Contract.from_json(opened(file).contract_json()).to_dict() == folder.manifest["contract"]


def test_the_file_says_nothing_of_the_machine_that_made_it(artifact):
    _, file = artifact
    content = b"".join(
        part.read_bytes() for part in file.parent.glob(f"{file.stem}.*") if part.suffix != ".safetensors"
    )
    home = Path(export.__file__).parents[2]
    for trace in (str(home), sys.prefix, "site-packages", ".py", "pkg.torch.onnx"):
        assert trace.encode() not in content


def files(runs, suffix):
    return [
        folder.path / f"model.fp32{suffix}"
        for folder in runs.values()
        if (folder.path / f"model.fp32{suffix}").exists()
    ]


def test_onnx_is_opset_18_and_ir_8_with_any_batch(runs):
    for file in files(runs, ".onnx"):
        model = onnx.load(file)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
        assert model.ir_version == 8
        (image,), (probabilities,) = model.graph.input, model.graph.output
        assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert (image.name, probabilities.name) == ("image", "probabilities")
        sizes = [size.dim_param or size.dim_value for size in image.type.tensor_type.shape.dim]
        assert sizes == ["N", SIDE, SIDE, 3]
        assert probabilities.type.tensor_type.shape.dim[0].dim_param == "N"
        assert not {node.op_type for node in model.graph.node} & {"BatchNormalization", "Identity"}, "they are folded"


def test_pools_are_single_operators(runs):
    import openvino

    folder = runs["test_resnet"]
    onnx_operators = {node.op_type for node in onnx.load(folder.file("model.fp32.onnx")).graph.node}
    model = openvino.Core().read_model(folder.file("model.fp32.xml"))
    operators = onnx_operators | {each.get_type_name() for each in model.get_ops()}
    assert "ReduceMean" in operators
    assert "Range" not in operators


def test_openvino_has_any_batch_and_a_fixed_size(runs):
    import openvino

    for file in files(runs, ".xml"):
        model = openvino.Core().read_model(file)
        image = model.input("image")
        assert image.get_partial_shape() == openvino.PartialShape([-1, SIDE, SIDE, 3])
        assert image.get_element_type() == openvino.Type.u8
        assert model.output("probabilities").get_element_type() == openvino.Type.f32
        constants = {each.get_output_element_type(0) for each in model.get_ops() if each.get_type_name() == "Constant"}
        assert openvino.Type.f16 not in constants, "float32 is promised"


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("batch", [1, 5])
def test_a_batch_changes_nothing_about_an_image(suffix, batch, runs):
    folder = runs["test_efficientnet"]
    model = opened(folder.file(f"model.fp32{suffix}"))
    assert model.batch is None
    np.testing.assert_allclose(model.run(IMAGES[:batch]), expected(folder)[:batch], rtol=0, atol=1e-5)


def operators(file):
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(file), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    return [each["op_name"] for each in interpreter._get_ops_details()]


def test_tflite_takes_one_image_and_moves_no_axes(runs):
    for file in files(runs, ".tflite"):
        assert opened(file).batch == 1
        names = operators(file)
        assert "CONV_2D" in names
        assert names[-1] == "SOFTMAX"
        assert not [name for name in names if "TRANSPOSE" in name or "CUSTOM" in name]


def test_tflite_takes_as_many_images_as_the_recipe_says(runs, tmp_path):
    folder = runs["test_resnet"]
    settings = small_run.recipe(export={"formats": ["tflite"], "tflite_batch": 4})
    heard = Heard()
    result = export.run(replace(small_run.context(folder, tmp_path, settings), reporter=heard))
    assert [line for line in heard.lines if line.startswith("Expected time: ")], "conversion is silent for long"
    assert [each.named() for each in result.artifacts] == [
        {"file": "model.fp32.tflite", "format": "tflite", "precision": "fp32"}
    ]
    model = opened(tmp_path / "model.fp32.tflite")
    assert model.batch == 4
    np.testing.assert_allclose(model.run(IMAGES), expected(folder), rtol=0, atol=1e-4)


def test_the_stage_records_every_format_of_the_target(runs):
    record = runs["test_efficientnet"].stage("export")
    assert [(each["file"], each["format"]) for each in record["artifacts"]] == [
        ("model.fp32.onnx", "onnx"),
        ("model.fp32.tflite", "tflite"),
        ("model.fp32.xml", "openvino"),
    ]


def test_a_run_that_is_not_trained_is_not_exported(tmp_path):
    folder = small_run.run_of(tmp_path)
    with pytest.raises(RunFolderError, match="The stage that makes it has not run"):
        export.run(small_run.context(folder, tmp_path))
