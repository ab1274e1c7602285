"""What each runtime tells about its operators, on real models in real runtimes."""

import json

import ai_edge_litert
import pytest
import tiny

from edgetl.runner.__main__ import main
from edgetl.runner.backends import litert, open_model
from edgetl.runner.backends.base import Backend, Session
from edgetl.runner.backends.litert_profile import read_summary
from edgetl.runner.backends.onnxruntime import _operators
from edgetl.runner.commands import profile_model
from edgetl.runner.errors import RunnerError
from edgetl.runner.operators import Operator, computes

ONE = Session(threads=1)
LIMITS = {"warmup_runs": 2, "runs": 5}
ONE_THREAD = {"threads": 1, **LIMITS}
EXPECTED = {
    "onnx": {"Cast": "integer", "ReduceMean": "float", "Div": "float", "Gemm": "float", "Softmax": "float"},
    "tflite": {"CAST": "integer", "Fully Connected (NC, F32) GEMM": "float", "Softmax (NC, F32)": "float"},
}
REPORT = """\
============ Run Order ============
             [node type]  [start]  [first]  [avg ms]  [%]  [cdf%]  [mem KB]  [times called]  [Name]
                    CAST  0.000  0.001  0.000   0.500%    0.500%  0.000  20  [Builtin]:0
  Delegate/Convolution (NHWC, QC8) DWConv  0.000  0.002  0.005  75.000%   75.500%  0.000  60  [Delegate]:0
  Delegate/Fully Connected (NC, F32) GEMM  0.000  0.002  0.005  24.500%  100.000%  0.000  20  [Delegate]:1

============ Top by Computation Time ============
  Delegate/Convolution (NHWC, QC8) DWConv  0.000  0.002  0.005  75.000%   75.500%  0.000  60  [Delegate]:0

Timings (microseconds): count=3 curr=8000
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tiny.write_images(tmp_path_factory.mktemp("images"), tiny.some_images(3))


@pytest.mark.parametrize("name", sorted(tiny.FILE_OF_FORMAT))
def test_profile_prints_one_object_with_the_operators(name, files, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files_list, model = tiny.write_list(tmp_path / "files.json", files), tiny.build(name, tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["profile", str(model), "--files", str(files_list), "--warmup", "2", "--runs", "5"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["timed"], told["runs"], told["warmup_runs"]) == (True, 5, 2)
    assert told["runtime"] == open_model(model, ONE).facts()
    assert all(set(each) == {"name", "type", "computes", "seconds", "calls"} for each in told["operators"])
    assert all(each["seconds"] >= 0 and each["calls"] == 1 for each in told["operators"])
    kinds = {each["type"]: each["computes"] for each in told["operators"]}
    assert EXPECTED.get(name, {}).items() <= kinds.items()
    assert sorted(tmp_path.iterdir()) == before, "a runtime's trace is not left behind"


def test_operators_of_onnx_runtime_are_in_order_and_took_time(files, tmp_path):
    told = profile_model(tiny.build("onnx", tmp_path), files, **ONE_THREAD)
    assert [each["type"] for each in told["operators"]][-2:] == ["Gemm", "Softmax"]
    assert sum(each["seconds"] for each in told["operators"]) > 0


def test_integers_are_told_from_floats(files, tmp_path):
    told = profile_model(tiny.build("tflite", tmp_path, int8_output=True), files, **ONE_THREAD)
    assert [each["type"] for each in told["operators"]][-2:] == ["Softmax (NC, F32)", "Convert (NC)"]
    arithmetic = {dtype: computes(dtype) for dtype in ("int8", "uint8", "float32", "float16", "bool", "string", "")}
    assert arithmetic == {
        "int8": "integer", "uint8": "integer", "float32": "float", "float16": "float",
        "bool": None, "string": None, "": None,
    }  # fmt: skip


def test_a_fixed_batch_is_profiled_full(files, tmp_path):
    told = profile_model(tiny.build("tflite", tmp_path, batch=4), files, **ONE_THREAD)
    assert told["timed"]
    assert told["runtime"]["input_batch"] == 4


def test_a_release_of_litert_that_was_not_tried_is_not_called_but_counted(files, tmp_path, monkeypatch):
    monkeypatch.setattr(ai_edge_litert, "__version__", "9.9.0")
    told = profile_model(tiny.build("tflite", tmp_path, int8_output=True), files, **ONE_THREAD)
    assert told["timed"] is False
    assert told["source"] == ("ai-edge-litert 9.9.0 tells no times (ai-edge-litert 2.3.x does); counted from the graph")
    assert [(each["type"], each["computes"], each["seconds"]) for each in told["operators"]] == [
        ("CAST", "integer", None), ("MEAN", "float", None), ("FULLY_CONNECTED", "float", None),
        ("SOFTMAX", "float", None), ("QUANTIZE", "float", None),
    ]  # fmt: skip


def test_a_call_of_litert_that_fails_is_told_and_the_graph_counted(files, tmp_path, monkeypatch):
    def fail(*_arguments, **_limits):
        raise RunnerError("LiteRtCreateOptions failed with status 1")

    monkeypatch.setattr(litert, "operators_of", fail)
    told = profile_model(tiny.build("tflite", tmp_path), files, **ONE_THREAD)
    assert (told["timed"], len(told["operators"])) == (False, 4)
    assert told["source"] == "LiteRtCreateOptions failed with status 1; counted from the graph"


def test_a_backend_without_a_profile_says_so(tmp_path):
    model = open_model(tiny.build("onnx", tmp_path), ONE)
    told = Backend.profile(model, [], **LIMITS)
    assert (told.operators, told.timed) == ([], False)
    assert told.source == "onnxruntime tells nothing about its operators here"


def test_the_warm_up_of_onnx_runtime_does_not_count():
    def kernel(name, start, microseconds):
        facts = {"op_name": "Conv", "input_type_shape": [{"float": [1]}]}
        return {"cat": "Node", "name": f"{name}_kernel_time", "ts": start, "dur": microseconds, "args": facts}

    def run(start):
        return {"cat": "Session", "name": "model_run", "ts": start, "dur": 90, "args": {}}

    fence = {"cat": "Node", "name": "a_fence_before", "ts": 210, "dur": 1000, "args": {"op_name": "Conv"}}
    events = [kernel("a", 101, 5000), run(100), fence, kernel("a", 201, 30), kernel("b", 240, 5), run(200)]
    events += [kernel("a", 301, 10), kernel("b", 340, 6), run(300)]
    assert _operators(events, 1) == [
        Operator("a", "Conv", "float", pytest.approx(40e-6)), Operator("b", "Conv", "float", pytest.approx(11e-6)),
    ]  # fmt: skip


def test_litert_report_is_read_line_by_line():
    assert read_summary(REPORT, 20) == [
        Operator("", "CAST", None, pytest.approx(40e-6)),
        Operator("", "Convolution (NHWC, QC8) DWConv", "integer", pytest.approx(6e-3), calls=3),
        Operator("", "Fully Connected (NC, F32) GEMM", "float", pytest.approx(1.96e-3)),
    ]


@pytest.mark.parametrize("text", ["", REPORT.partition("Timings")[0], REPORT.replace("%", "")])
def test_another_report_of_litert_is_refused(text):
    with pytest.raises(RunnerError, match="cannot be read"):
        read_summary(text, 20)


def test_a_model_that_is_not_there_is_one_error_object(files, tmp_path, capsys):
    arguments = ["profile", str(tmp_path / "gone.tflite"), "--files", str(tiny.write_list(tmp_path / "l.json", files))]
    assert main(arguments) == 2
    assert "gone.tflite: no such file" in json.loads(capsys.readouterr().out)["error"]
