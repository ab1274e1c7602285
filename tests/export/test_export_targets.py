"""Which formats are exported, and what a target refuses."""

import pytest
import small_run
import yaml

from edgetl.errors import ConfigError
from edgetl.export import stage as export
from edgetl.export.formats import chosen_formats
from edgetl.runs.folder import RunFolder

BOARD = {
    "name": "board",
    "title": "A board",
    "cpu": "some CPU",
    "architecture": "aarch64",
    "threads": 1,
    "memory_mb": 512,
    "int8_dot_product": False,
}


@pytest.fixture
def context(tmp_path):
    """Make the context of an export for a board with these runtimes."""

    def make(runtimes, formats="auto"):
        board = tmp_path / "board.yaml"
        board.write_text(yaml.safe_dump({**BOARD, "runtimes": runtimes}))
        settings = small_run.recipe(export={"formats": formats})
        folder = small_run.untrained(tmp_path, "test_resnet") if formats == "auto" else RunFolder(tmp_path, {})
        return small_run.context(folder, tmp_path, settings, str(board))

    return make


ONNX = {"package": "onnxruntime", "version": "1.10"}
TFLITE = {"package": "tflite-runtime", "version": "2.14"}


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"max_opset": 17}, "board.runtimes.onnx: reads opset up to 17, the file needs 18."),
        ({"max_ir": 7, "max_opset": 18}, "board.runtimes.onnx: reads IR version up to 7, the file needs 8."),
    ],
)
def test_a_runtime_that_is_too_old_for_the_file_is_named(limit, message, context, tmp_path):
    with pytest.raises(ConfigError) as caught:
        export.run(context({"onnx": ONNX | limit}))
    assert str(caught.value) == message
    assert not (tmp_path / "model.fp32.onnx").exists()


def test_a_format_that_the_target_does_not_run_is_refused(context):
    with pytest.raises(ConfigError) as caught:
        export.run(context({"onnx": ONNX, "tflite": TFLITE}, formats=["tflite", "openvino"]))
    assert str(caught.value) == "export.formats: board does not run openvino; it runs onnx, tflite."


def test_auto_means_all_that_the_target_runs_in_one_order(context):
    given = context({"tflite": TFLITE, "onnx": ONNX})
    assert chosen_formats(given.recipe.export, given.target) == ("onnx", "tflite")
    given = context({"tflite": TFLITE, "onnx": ONNX}, formats=["tflite"])
    assert chosen_formats(given.recipe.export, given.target) == ("tflite",)
