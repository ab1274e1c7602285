"""Integer artifacts of a network that has learned the digits, in all formats."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import small_run
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from heard import Heard
from PIL import Image
from safetensors.torch import load_file, save_file

from edgetl.cli.results import print_run
from edgetl.data.index import read_index
from edgetl.errors import AlreadyInteger, ConfigError, DataError, ProofFailed, RunFolderError
from edgetl.quantize import stage
from edgetl.quantize.calibration import choose_calibration
from edgetl.quantize.formats import quantizer_for
from edgetl.runner.backends import open_model
from edgetl.runner.backends.base import Session
from edgetl.runs.files import sha256_of, write_json
from edgetl.runs.folder import RunFolder

SUFFIXES = [".onnx", ".tflite", ".xml"]
FORMATS = {".onnx": "onnx", ".tflite": "tflite", ".xml": "openvino"}


def opened(run, precision, suffix):
    return open_model(run.file(f"model.{precision}{suffix}"), Session(threads=1))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_integers_change_little(suffix, run, digits):
    images, labels_N = digits
    float_NK, integer_NK = (opened(run, precision, suffix).run(images) for precision in ("fp32", "w8a8"))
    assert (integer_NK.argmax(1) == float_NK.argmax(1)).mean() > 0.95
    assert (integer_NK.argmax(1) == labels_N).mean() > 0.9
    assert 0 < np.abs(integer_NK - float_NK).mean() < 0.02


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_probabilities_come_out_as_floats(suffix, run, digits):
    probabilities_NK = opened(run, "w8a8", suffix).run(digits[0])
    assert probabilities_NK.dtype == np.float32
    np.testing.assert_allclose(probabilities_NK.sum(axis=1), 1, atol=1e-5)
    # An integer softmax knows 256 values.
    assert len(np.unique(probabilities_NK)) > 1000


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_contract_goes_along(suffix, run):
    contracts = [opened(run, precision, suffix).contract_json() for precision in ("fp32", "w8a8")]
    assert contracts[0] == contracts[1]
    assert json.loads(contracts[1]) == run.manifest["contract"]


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".bin"])
def test_the_file_is_a_third_of_the_size(suffix, run):
    sizes = [run.file(f"model.{precision}{suffix}").stat().st_size for precision in ("fp32", "w8a8")]
    assert sizes[1] < sizes[0] * 0.4


def test_onnx_weights_fit_narrow_sums_and_every_convolution_is_quantized(run):
    model = onnx.load(run.file("model.w8a8.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import if not entry.domain] == [("", 18)]
    assert model.ir_version == 8
    producers = {output: node for node in model.graph.node for output in node.output}
    initializers = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert len(layers) > 10
    for layer in layers:
        scaled = [producers[name] for name in layer.input[:2]]
        assert [node.op_type for node in scaled] == ["DequantizeLinear"] * 2
        weights = initializers[scaled[1].input[0]]
        assert weights.dtype == np.int8
        if layer.op_type == "Conv" and weights.shape[1] % 2 == 0:
            assert np.abs(weights[:, ::2].astype(int) + weights[:, 1::2]).max() <= 128
        assert initializers[scaled[1].input[1]].size in (1, weights.shape[0], weights.shape[-1])
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    assert softmax.output[0] == model.graph.output[0].name


def test_openvino_multiplies_integers(run):
    import openvino

    model = openvino.Core().read_model(run.file("model.w8a8.xml"))
    operators = [each.get_type_name() for each in model.get_ops()]
    assert operators.count("FakeQuantize") > 10
    constants = [each for each in model.get_ops() if each.get_type_name() == "Constant"]
    assert sum(each.get_output_element_type(0) == openvino.Type.i8 for each in constants) > 10
    assert model.input().get_element_type() == openvino.Type.u8


def test_tflite_takes_raw_pixels_and_gives_floats(run):
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    file = str(run.file("model.w8a8.tflite"))
    interpreter = Interpreter(file, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    assert interpreter.get_input_details()[0]["dtype"] == np.uint8
    assert interpreter.get_output_details()[0]["dtype"] == np.float32
    tensors = {each["index"]: each["dtype"] for each in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    convolutions = [each for each in operators if each["op_name"] == "CONV_2D"]
    assert len(convolutions) > 10
    assert {tensors[index] for each in convolutions for index in each["outputs"]} == {np.int8}
    assert operators[-1]["op_name"] == "SOFTMAX"
    assert not run.file("model.w8a8.tflite").stat().st_mode & 0o111


def test_the_images_that_set_the_ranges_are_on_record(run, tmp_path_factory):
    stated = json.loads(run.file("calibration.json").read_text())["images"]
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        by_path = {sample.path: sample for sample in read_index(run).samples}
    assert len(stated) == run.stage("quantize")["calibration_images"] == 64
    assert all(by_path[each["path"]].split == "train" for each in stated)
    assert all(by_path[each["path"]].sha256 == each["sha256"] for each in stated)
    names = [each["file"] for each in run.stage("quantize")["artifacts"]]
    assert names == ["model.w8a8.onnx", "model.w8a8.tflite", "model.w8a8.xml"]


def test_a_run_without_an_export_has_nothing_to_quantize(tmp_path):
    with pytest.raises(RunFolderError) as caught:
        stage.run(small_run.context(small_run.run_of(tmp_path), tmp_path))
    assert str(caught.value) == f"{tmp_path}: nothing has been exported here. Run 'edgetl export' first"


def receipt_of(folder):
    return json.loads(folder.file("quantize.json").read_text())


def test_the_receipt_says_what_was_measured_of_each_format(run, tmp_path_factory):
    receipt = receipt_of(run)
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        assert receipt["validation_images"] == len(read_index(run).split("val"))
    assert receipt["reference_top1"] > 0.9
    sizes = {each.file: each.size_bytes for each in run.artifacts()}
    assert [(each["format"], each["rung"], each["passed"]) for each in receipt["attempts"]] == [
        (name, "rounding", True) for name in ("onnx", "tflite", "openvino")
    ]
    for each in receipt["attempts"]:
        assert each["measured"]["p50_ms"] > 0
        assert each["measured"]["size_bytes"] == sizes[each["file"]]
        assert each["measured"]["flips_low"] <= each["measured"]["flips"] < each["measured"]["flips_high"]
    assert receipt["calibration_spread"]["images"] == 64 // 3
    assert len(receipt["calibration_spread"]["scores"]) == 3
    assert receipt["sensitivity"] is None


def test_what_each_rung_gave_is_printed(run, capsys):
    print_run(run)
    lines = capsys.readouterr().out.splitlines()
    (told,) = (line for line in lines if "tflite w8a8:" in line)  # a narrow table breaks the name after it
    assert told.rstrip().endswith("inside, kept")
    assert set(run.stage("quantize")["metrics"]) == {"worst_drop", "worst_flips"}


@pytest.fixture
def exported(run, runner_inside, tmp_path, tmp_path_factory):
    """A copy of the run, to quantize again."""
    copy = RunFolder.open(shutil.copytree(run.path, tmp_path / "run"))
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        yield copy


def quantized_again(folder, reporter=None, **settings):
    recipe = small_run.recipe(quantize=settings)
    return small_run.made(recipe, folder.path, "teacher", ("quantize",), reporter)


@pytest.fixture
def darkness(tmp_path):
    """A folder of images that are black but for one dark pixel, as no digit is."""
    folder = tmp_path / "dark"
    folder.mkdir()
    for number in range(40):
        image_HW = np.zeros((8, 8), np.uint8)
        image_HW.flat[number] = 9
        Image.fromarray(image_HW).save(folder / f"{number:02}.png")
    return folder


def test_bounds_that_no_rung_keeps_are_a_failure_and_the_best_file_stays(exported):
    weights = load_file(exported.path / "model.safetensors")
    head = next(name for name in weights if name.endswith("classifier.weight"))
    # What was trained answers with the next class now; the files, exported before, do not.
    changed = exported.path / "model.safetensors"
    save_file({**weights, head: weights[head].roll(1, 0)}, changed)
    stated = {"sha256": sha256_of(changed), "bytes": changed.stat().st_size}
    exported.manifest["files"][changed.name].update(stated)
    write_json(exported.path / "manifest.json", exported.manifest)
    with pytest.raises(ProofFailed) as caught:
        quantized_again(exported, rungs=["rounding"], max_flips=0.01)
    failures = str(caught.value).split("; ")
    assert failures[0].startswith(
        f"{exported.path}: model.w8a8.onnx: no rung is inside the bounds on the validation images, the best one, '"
    )
    assert " points (allowed: -1.00) and " in failures[0]
    assert failures[0].endswith(" of the answers (allowed: 1.00%)")
    folder = RunFolder.open(exported.path)
    receipt = receipt_of(folder)
    assert {each["rung"] for each in receipt["attempts"]} == {"rounding"}
    assert not any(each["passed"] for each in receipt["attempts"])
    assert all(folder.file(each["file"]).is_file() for each in folder.stage("quantize")["artifacts"])
    judged = [each["measured"] for each in receipt["attempts"] if each["measured"]]
    assert len(judged) >= 3
    assert all(each["flips"] > 0.5 for each in judged)
    assert any("stay in float" in warning for warning in receipt["warnings"])


def test_other_schemes_are_written_where_the_runtime_gains_and_refused_elsewhere(exported):
    heard = Heard()
    quantized_again(exported, heard, scheme="fp16,w8")
    folder = RunFolder.open(exported.path)
    made = [(each["file"], each["precision"]) for each in folder.stage("quantize")["artifacts"]]
    assert made == [
        ("model.fp16.onnx", "fp16"), ("model.fp16.tflite", "fp16"), ("model.fp16.xml", "fp16"),
        ("model.w8.tflite", "w8"), ("model.w8.xml", "w8"),
    ]  # fmt: skip
    assert not (folder.path / "model.w8a8.onnx").exists()
    receipt = receipt_of(folder)
    assert [each["rung"] for each in receipt["attempts"]] == ["rounding"] * 5
    assert all(each["measured"]["flips"] <= 0.01 for each in receipt["attempts"])
    assert receipt["calibration_spread"] is None
    assert [(each["format"], each["precision"]) for each in receipt["refused"]] == [("onnx", "w8")]
    assert any(line.startswith("onnx w8: not written, since ONNX Runtime decodes weights") for line in heard.lines)


def test_a_scheme_that_no_format_gains_from_is_refused(exported):
    with pytest.raises(ConfigError) as caught:
        quantized_again(exported, scheme="dynamic")
    assert str(caught.value).startswith(
        "quantize.scheme: no format gains anything (onnx dynamic: only matrix products "
    )
    assert (exported.path / "model.w8a8.onnx").is_file()


def calibration(folder, darkness, **more):
    """The context of a stage that calibrates on a folder."""
    return small_run.context(folder, folder.path, small_run.recipe(quantize={"calibration": str(darkness), **more}))


def test_a_folder_to_calibrate_on_gives_its_images(exported, darkness):
    chosen = choose_calibration(calibration(exported, darkness), read_index(exported))
    assert {path.parent for path in chosen.files.values()} == {darkness}
    assert len(chosen.files) == len(chosen.sha256s) == 40
    some = choose_calibration(calibration(exported, darkness, calibration_images=32), read_index(exported))
    assert some.files.items() < chosen.files.items()


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_folder_with_images_that_judge_is_refused(split, exported, darkness):
    index = read_index(exported)
    shutil.copy(index.file(index.split(split)[0]), darkness / "seen.png")
    with pytest.raises(DataError) as caught:
        choose_calibration(calibration(exported, darkness), index)
    assert f"{darkness}: 1 of its images are in the {split} split (seen.png). Remove them there" in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_integer_file_is_not_quantized_again(suffix, run, digits_planner):
    source = run.file(f"model.w8a8{suffix}")
    with pytest.raises(AlreadyInteger) as caught:
        quantizer_for(FORMATS[suffix], source, digits_planner.traced, digits_planner.probes_NHWC)
    assert str(caught.value).startswith(f"{source}: computes with integers already. Quantize the float one")


def test_classes_without_calibration_images_are_told(exported):
    index = read_index(exported)
    one_class = tuple(replace(each, label=0) if each.split == "train" else each for each in index.samples)
    context = replace(small_run.context(exported, exported.path), reporter=Heard())
    chosen = choose_calibration(context, replace(index, samples=one_class))
    assert chosen.warnings == (
        "Calibration: 64 images for 10 classes; 9 classes have none. Raise quantize.calibration_images.",
    )
