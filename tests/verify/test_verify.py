"""What verification finds wrong, and what it lets pass."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import tiny_run

from edgetl.errors import RunFolderError, RunnerFailed
from edgetl.runs.intervals import wilson
from edgetl.runs.verdict import Limits, Verdict
from edgetl.verify import stage as verify
from edgetl.verify.comparison import Tolerance, compare

LIMITS = Limits(max_drop=0.01, max_flips=1.0)
TOLERANCE = Tolerance(max_difference=1e-4, max_half_difference=0.02, tie_gap=1e-3)
IMAGES = tiny.some_images(200, seed=3)
REFERENCE_NK = tiny.reference(IMAGES)
LABELS_N = REFERENCE_NK.argmax(axis=1)
LOGITS_NK = np.log(REFERENCE_NK)


def compared(
    outputs_NK, *, precision="fp32", labels_N=LABELS_N, limits=LIMITS, tolerance=TOLERANCE, reference_NK=REFERENCE_NK
):
    return compare(
        reference_NK, outputs_NK.astype(np.float32), labels_N, precision=precision, tolerance=tolerance, limits=limits
    )


def test_equal_probabilities_pass():
    found = compared(REFERENCE_NK)
    assert (found.agreement, found.max_probability_difference, found.drop, found.verdict.reasons) == (1, 0, 0, ())


def test_rounding_noise_passes():
    noise_NK = np.random.default_rng(0).uniform(-5e-5, 5e-5, REFERENCE_NK.shape)
    found = compared(REFERENCE_NK + noise_NK)
    assert 0 < found.mean_probability_difference < found.max_probability_difference < 1e-4
    assert found.verdict.reasons == ()


PLANTED = {
    "blue for red": tiny.reference(IMAGES[..., ::-1]),
    "labels in another order": REFERENCE_NK[:, [1, 0, 2, 3]],
    "no softmax": LOGITS_NK,
    "softmax twice": np.exp(REFERENCE_NK) / np.exp(REFERENCE_NK).sum(axis=1, keepdims=True),
    "values of 0 to 255": REFERENCE_NK * 255,
    "half the contrast": tiny.reference((IMAGES / 2).astype(np.uint8)),
    "images in another order": REFERENCE_NK[::-1],
    "one wrong image": np.concatenate([REFERENCE_NK[:1, ::-1], REFERENCE_NK[1:]]),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_of_a_float_artifact_is_caught(fault):
    assert any("a probability differs by" in failure for failure in compared(PLANTED[fault]).verdict.reasons)


@pytest.mark.parametrize("fault", ["blue for red", "labels in another order", "no softmax", "values of 0 to 255"])
def test_a_planted_fault_of_an_integer_artifact_is_caught(fault):
    assert compared(PLANTED[fault], precision="w8a8").verdict.reasons


def test_an_integer_artifact_may_differ_but_not_lose_accuracy():
    rounded_NK = np.round(REFERENCE_NK * 64) / 64
    assert compared(rounded_NK, precision="w8a8", limits=replace(LIMITS, max_drop=0.05)).verdict.reasons == ()
    assert "a probability differs by" in compared(rounded_NK).verdict.reasons[0]


def test_a_drop_of_exactly_the_limit_passes_and_one_image_more_fails():
    labels_N, reference_NK = np.tile(LABELS_N, 3), np.tile(REFERENCE_NK, (3, 1))
    labels_N[:180] = (labels_N[:180] + 1) % 4  # top-1 is 420 of 600
    worse_NK = reference_NK.copy()
    worse_NK[180:186] = np.roll(worse_NK[180:186], 1, axis=1)
    told = {"precision": "w8a8", "labels_N": labels_N, "reference_NK": reference_NK}
    found = compared(worse_NK, **told)
    assert (found.top1, found.drop, found.verdict.reasons) == (0.69, pytest.approx(0.01), ())
    assert (found.top1_low, found.top1_high) == wilson(414, 600)
    worse_NK[186:189] = np.roll(worse_NK[186:189], 1, axis=1)
    assert compared(worse_NK, **told).verdict == Verdict("FAIL", ("top-1 drops by 1.50% (allowed: 1.00%)",))


@pytest.mark.parametrize(("lost", "status"), [(2, "PASS"), (3, "INCONCLUSIVE"), (4, "INCONCLUSIVE"), (5, "FAIL")])
def test_a_few_answers_of_few_images_may_be_luck(lost, status):
    worse_NK = REFERENCE_NK.copy()
    worse_NK[:lost] = np.roll(worse_NK[:lost], 1, axis=1)
    found = compared(worse_NK, precision="w8a8", labels_N=REFERENCE_NK.argmax(1))
    assert found.verdict.status == status
    if status == "INCONCLUSIVE":
        assert "(allowed: 1.00%) on 200 images, too few to tell it from luck" in found.verdict.reasons[0]


def test_a_better_integer_artifact_has_a_negative_drop():
    labels_N = np.roll(LABELS_N, 1)
    found = compared(np.eye(4)[labels_N], labels_N=labels_N, precision="w8a8")
    assert (found.top1, found.drop < 0, found.verdict.reasons) == (1.0, True, ())


def test_ties_do_not_count_in_the_agreement():
    reference_NK = np.array([[0.4999, 0.5001], [0.2, 0.8]], np.float32)
    outputs_NK = np.array([[0.50001, 0.49999], [0.2, 0.8]], np.float32)
    loose, labels_N = replace(TOLERANCE, max_difference=1e-2), np.array([1, 1])
    found = compared(outputs_NK, reference_NK=reference_NK, labels_N=labels_N, tolerance=loose)
    assert (found.agreement, found.ties_left_out, found.verdict.reasons) == (1.0, 1, ())
    strict = replace(loose, tie_gap=0.0)
    found = compared(outputs_NK, reference_NK=reference_NK, labels_N=labels_N, tolerance=strict)
    assert found.verdict.reasons == ("the best class agrees on 50.00% of the images, expected all",)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "w8a8"])
def test_a_value_that_is_no_number_is_named_and_never_right(value, precision):
    outputs_NK = REFERENCE_NK.copy()
    outputs_NK[5, LABELS_N[5]] = value
    found = compared(outputs_NK, precision=precision)
    assert found.verdict.reasons[0] == "1 of 800 outputs are NaN or infinite"
    assert found.max_probability_difference == 1.0
    assert found.top1 == 199 / 200


def test_outputs_that_are_all_nan_are_described_with_numbers():
    found = compared(np.full_like(REFERENCE_NK, np.nan), precision="w8a8")
    assert (found.top1, found.agreement, found.mean_probability_difference) == (0, 0, 1)


def test_half_precision_is_judged_as_what_it_is():
    """It may differ a little, and change its mind only where a little decides."""
    half_NK = REFERENCE_NK.astype(np.float16).astype(np.float32)
    assert compared(half_NK, precision="fp16").verdict.passed
    far_NK = np.clip(REFERENCE_NK * 0.97, 0, 1)
    assert "a probability differs by 0.029 (allowed: 0.02)" in compared(far_NK, precision="fp16").verdict.reasons[0]
    assert compared(far_NK, precision="w8a8").verdict.passed
    reference_NK = np.array([[0.49, 0.51], [0.3, 0.7], [0.2, 0.8]], np.float32)
    outputs_NK = np.array([[0.505, 0.495], [0.3, 0.7], [0.2, 0.8]], np.float32)
    found = compared(outputs_NK, precision="fp16", reference_NK=reference_NK, labels_N=np.array([0, 1, 1]))
    assert (found.ties_left_out, found.verdict.passed) == (1, True)
    found = compared(outputs_NK, precision="fp16", reference_NK=reference_NK, labels_N=np.array([1, 1, 1]))
    assert found.verdict.status == "INCONCLUSIVE"
    assert found.verdict.reasons[0].startswith("top-1 drops by 33.33% (allowed: 1.00%) on 3 images")


def test_flips_are_bounded_as_quantization_bounds_them():
    other_NK = REFERENCE_NK.copy()
    other_NK[:10] = np.roll(other_NK[:10], 1, axis=1)
    strict = Limits(max_drop=1.0, max_flips=0.04)
    assert compared(other_NK, precision="w8a8", limits=strict).verdict.reasons == (
        "5.00% of the answers change (allowed: 4.00%)",
    )
    assert compared(other_NK, precision="w8a8", limits=replace(strict, max_flips=0.05)).verdict.passed


@pytest.mark.parametrize("precision", ["fp32", "fp16", "w8a8"])
def test_a_reference_that_is_no_number_proves_nothing(precision):
    broken_NK = np.full_like(REFERENCE_NK, np.nan)
    found = compared(broken_NK, precision=precision, reference_NK=broken_NK)
    assert found.verdict.reasons[0] == "the trained network itself gives NaN or infinity on 200 of 200 images"
    one_NK = REFERENCE_NK.copy()
    one_NK[7, 0] = np.inf
    found = compared(REFERENCE_NK, precision=precision, reference_NK=one_NK)
    assert found.verdict.reasons[0] == "the trained network itself gives NaN or infinity on 1 of 200 images"


@pytest.mark.parametrize("precision", ["fp32", "w8a8"])
def test_where_every_image_is_a_tie_nothing_is_proven(precision):
    flat_NK = np.full_like(REFERENCE_NK, 0.25)
    found = compared(flat_NK, precision=precision, reference_NK=flat_NK)
    assert "nothing is proven: on all 200 images the trained network's two best classes are tied" in (
        found.verdict.reasons
    )


@pytest.fixture
def trained(monkeypatch):
    """The tiny model in PyTorch stands in for a trained network, which takes minutes to make."""
    import torch

    import edgetl.zoo.deployable

    class Trained(torch.nn.Module):
        def forward(self, images):
            means_NC = images.to(torch.float32).mean(dim=(1, 2)) / 255
            return torch.softmax(means_NC @ torch.from_numpy(tiny.WEIGHTS_CK) + torch.from_numpy(tiny.BIAS_K), dim=1)

    monkeypatch.setattr(edgetl.zoo.deployable, "load_deployable", lambda _folder: Trained())


def report_of(context):
    return json.loads((context.out / "verify.json").read_text(encoding="utf-8"))


@pytest.mark.usefixtures("trained")
def test_every_artifact_of_a_run_is_proven_from_the_raw_files(tmp_path):
    made = [("onnx", "fp32", {}), ("openvino", "fp32", {}), ("tflite", "fp32", {"batch": 16})]
    context = tiny_run.context(tmp_path, [*made, ("tflite", "w8a8", {"int8_output": True})])
    result = verify.run(context)
    report = report_of(context)
    assert (result.failure, report["passed"], report["test_images"]) == ("", True, tiny_run.TEST_IMAGES)
    assert report["reference"]["runtime"].startswith("torch 2")
    assert report["reference"]["top1"] == result.metrics["reference_top1"] == 0.9
    interval = wilson(round(0.9 * tiny_run.TEST_IMAGES), tiny_run.TEST_IMAGES)
    assert (report["reference"]["top1_low"], report["reference"]["top1_high"]) == interval
    entries = report["artifacts"]
    names = ["model.fp32.onnx", "model.fp32.xml", "model.fp32.tflite", "model.w8a8.tflite"]
    assert [each["file"] for each in entries] == names
    assert [each["runtime"]["provider"] for each in entries] == ["CPUExecutionProvider", "CPU", "XNNPACK", "XNNPACK"]
    assert all(each["max_probability_difference"] < 1e-5 for each in entries[:3])
    assert result.metrics["worst_float_probability_difference"] < 1e-5 < entries[3]["max_probability_difference"]
    assert context.reporter.take_library_seconds()["verification inference"] > 0
    assert sorted(path.name for path in context.out.iterdir()) == ["predictions.npz", "verify.json"]


@pytest.mark.usefixtures("trained")
def test_a_failed_proof_is_one_line_with_numbers_and_leaves_its_report(tmp_path):
    contract = tiny.CONTRACT.to_json().replace('["red", "green"', '["green", "red"')
    made = [("onnx", "fp32", {"softmax": False}), ("openvino", "fp32", {"contract": contract}), ("tflite", "fp32", {})]
    context = tiny_run.context(tmp_path, made)
    result = verify.run(context)
    first, second = result.failure.split("; ")
    assert first.startswith("model.fp32.onnx: outputs are not probabilities: they range from -")
    assert "a probability differs by" in first
    assert second == "model.fp32.xml: its contract differs from the run's in labels"
    assert [each["verdict"]["status"] for each in report_of(context)["artifacts"]] == ["FAIL", "FAIL", "PASS"]


@pytest.mark.usefixtures("trained")
def test_preprocessing_of_the_embedded_contract_is_part_of_the_proof(tmp_path):
    squashed = replace(tiny.CONTRACT, resize="crop", crop_fraction=0.5).to_json()
    result = verify.run(tiny_run.context(tmp_path, [("onnx", "fp32", {"contract": squashed})]))
    assert "its contract differs from the run's in crop_fraction, resize" in result.failure
    assert "a probability differs by" in result.failure


@pytest.mark.usefixtures("trained")
def test_an_artifact_that_does_not_run_is_named(tmp_path):
    context = tiny_run.context(tmp_path, [("onnx", "fp32", {"damaged": True})])
    with pytest.raises(RunnerFailed, match=r"^model\.fp32\.onnx: .*onnxruntime cannot open it"):
        verify.run(context)


@pytest.mark.usefixtures("trained")
def test_a_file_that_was_changed_fails_and_the_others_get_their_verdicts(tmp_path):
    made = [("onnx", "fp32", {}), ("openvino", "fp32", {}), ("tflite", "fp32", {})]
    context = tiny_run.context(tmp_path, made)
    weights = context.folder.path / "model.fp32.bin"
    weights.write_bytes(bytes(len(weights.read_bytes())))
    (context.folder.path / "model.fp32.tflite").unlink()
    result = verify.run(context)
    assert [each["verdict"]["status"] for each in report_of(context)["artifacts"]] == ["PASS", "FAIL", "FAIL"]
    xml, tflite = result.failure.split("; ")
    assert xml == "model.fp32.xml: model.fp32.bin is not what the export stage wrote"
    assert tflite == "model.fp32.tflite: model.fp32.tflite is gone"


@pytest.mark.usefixtures("trained")
def test_a_file_out_of_bounds_on_the_validation_images_is_not_proven_by_the_test_images(tmp_path, monkeypatch):
    context = tiny_run.context(tmp_path, [("onnx", "fp32", {}), ("onnx", "w8a8", {})])
    kept = {"model.w8a8.onnx": {"drop": 0.03, "flips": 0.1}}
    monkeypatch.setattr("edgetl.quantize.schema.read_receipt", lambda _folder: {"kept": kept})
    failure = "model.w8a8.onnx: on the validation images top-1 drops by 3.00% (allowed: 1.00%)"
    assert verify.run(context).failure == failure


def test_an_artifact_of_other_classes_is_refused(tmp_path, monkeypatch):
    import torch

    import edgetl.zoo.deployable

    monkeypatch.setattr(edgetl.zoo.deployable, "load_deployable", lambda _: lambda images: torch.ones(len(images), 7))
    result = verify.run(tiny_run.context(tmp_path, [("onnx", "fp32", {})]))
    assert result.failure == "model.fp32.onnx: it gives 4 classes, the trained network 7; export it again"


def test_a_run_without_artifacts_says_what_to_do(tmp_path):
    with pytest.raises(RunFolderError, match=r"nothing has been exported here\. Run 'edgetl export' first"):
        verify.run(tiny_run.context(tmp_path, []))
