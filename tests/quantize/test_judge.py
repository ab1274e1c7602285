"""Files are judged by what they answer in their own runtime."""

import numpy as np
import pytest
from nets import images
from PIL import Image

from edgetl.devices.local import LocalDevice
from edgetl.errors import RunnerFailed
from edgetl.quantize.judge import Judge, score
from edgetl.runs.verdict import Limits

LABELS_N = np.arange(100) % 4
RIGHT_NK = np.eye(4, dtype=np.float32)[LABELS_N]


def with_mistakes(count):
    answers_NK = RIGHT_NK.copy()
    answers_NK[:count] = np.roll(answers_NK[:count], 1, axis=1)
    return answers_NK


def test_drop_and_flips_are_told_apart():
    reference_NK = with_mistakes(10)
    both_wrong = np.roll(reference_NK[:10], 1, axis=1)
    found = score(np.concatenate([both_wrong, reference_NK[10:]]), reference_NK, LABELS_N)
    assert (found.top1, found.drop, found.flips) == (0.9, 0.0, 0.1)
    found = score(RIGHT_NK, reference_NK, LABELS_N)
    assert (found.top1, found.drop, found.flips) == (1.0, pytest.approx(-0.1), 0.1)


def test_flips_have_the_interval_of_wilson():
    found = score(with_mistakes(2), RIGHT_NK, LABELS_N)
    assert (found.flips_low, found.flips_high) == (pytest.approx(0.00550, abs=1e-5), pytest.approx(0.07001, abs=1e-5))
    assert score(RIGHT_NK, RIGHT_NK, LABELS_N).flips_low == 0


def test_an_answer_that_is_no_number_is_wrong():
    answers_NK = RIGHT_NK.copy()
    answers_NK[0, 0] = np.nan
    assert score(answers_NK, RIGHT_NK, LABELS_N).flips == 0.01


@pytest.mark.parametrize(
    ("mistakes", "limits", "passes"),
    [
        (1, Limits(0.01, 1.0), True),
        (2, Limits(0.01, 1.0), False),
        (2, Limits(1.0, 0.02), True),
        (3, Limits(1.0, 0.02), False),
    ],
)
def test_the_bounds_themselves_are_allowed(mistakes, limits, passes):
    found = score(with_mistakes(mistakes), RIGHT_NK, LABELS_N)
    assert found.verdict(limits).passed == passes
    assert (found.excess(limits) == 0) == passes


def test_a_drop_has_the_standard_error_of_the_images_that_only_one_has_right():
    """Of 100 images, 6 are lost and 2 are gained."""
    reference_NK = with_mistakes(2)
    answers_NK = np.concatenate([RIGHT_NK[:2], with_mistakes(8)[2:]])
    found = score(answers_NK, reference_NK, LABELS_N)
    assert (found.drop, found.images) == (pytest.approx(0.04), 100)
    assert found.drop_error == pytest.approx(np.sqrt((6 + 2 - 4**2 / 100) / 100**2))


@pytest.mark.parametrize(("images", "settled"), [(400, True), (499, True), (500, False), (1000, False)])
def test_where_images_are_many_a_file_that_passes_by_chance_is_not_settled(images, settled):
    """0.9 points are lost, more or less."""
    labels_N = np.arange(images) % 4
    right_NK = np.eye(4, dtype=np.float32)[labels_N]
    answers_NK, wrong = right_NK.copy(), int(0.009 * images)
    answers_NK[:wrong] = np.roll(answers_NK[:wrong], 1, axis=1)
    found = score(answers_NK, right_NK, labels_N)
    assert found.drop < 0.01 < found.drop + found.drop_error
    assert found.verdict(Limits(0.01, 1.0)).passed
    assert (found.excess(Limits(0.01, 1.0)) == 0) == settled


@pytest.fixture(scope="module")
def judged(sources, tmp_path_factory):
    """A float file, and a judge with images as files."""
    folder, file = tmp_path_factory.mktemp("judged"), sources["openvino"]
    files = [folder / f"{number:02}.png" for number in range(20)]
    for path, image_HWC in zip(files, images(20), strict=True):
        Image.fromarray(image_HWC).save(path)
    reference_NK = np.eye(4, dtype=np.float32)[[0] * 20]
    return file, Judge(files, np.zeros(20, dtype=np.int64), reference_NK, LocalDevice(), threads=1)


def test_a_file_is_run_timed_and_weighed(judged):
    file, judge = judged
    found = judge.judge(file)
    assert (judge.images, judge.reference_top1) == (20, 1.0)
    assert found.score.flips == pytest.approx(1 - found.score.top1)
    assert 0 < found.score.top1 < 1
    assert found.p50_ms > 0
    assert found.size_bytes == file.stat().st_size + file.with_suffix(".bin").stat().st_size
    assert set(found.to_dict()) == {
        "top1", "drop", "drop_error", "flips", "flips_low", "flips_high", "images", "p50_ms", "size_bytes",
    }  # fmt: skip


def test_a_file_that_does_not_run_says_so(judged, tmp_path):
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"nothing")
    with pytest.raises(RunnerFailed, match="onnxruntime cannot open it"):
        judged[1].judge(broken)
