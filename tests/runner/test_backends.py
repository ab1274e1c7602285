"""Every runtime gives the reference's probabilities, or says in one line why not."""

import sys
from functools import partial
from importlib.metadata import EntryPoint, EntryPoints
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from edgetl.runner import backends
from edgetl.runner.backends import BUILTIN, backend_for, find_backend, open_model
from edgetl.runner.backends.base import Session
from edgetl.runner.errors import BrokenModel, MissingRuntime, RunnerError, UnsupportedDevice, WrongImages

FORMATS = {"onnxruntime": "onnx", "openvino": "openvino", "litert": "tflite"}
every_backend = pytest.mark.parametrize("name", sorted(BUILTIN))


@pytest.fixture
def model_of(tmp_path):
    """Builds the tiny model for a backend."""

    def build(name, **options):
        pytest.importorskip(find_backend(name).module)
        return tiny.build(FORMATS[name], tmp_path, **options)

    return build


@every_backend
def test_runtime_reproduces_the_reference_probabilities(name, model_of):
    images = tiny.some_images(70)
    probabilities_NK = open_model(model_of(name), Session(threads=1)).run(images)
    assert probabilities_NK.dtype == np.float32
    np.testing.assert_allclose(probabilities_NK, tiny.reference(images), atol=2e-6)


@every_backend
def test_the_embedded_contract_is_read_back_exactly(name, model_of):
    contract = tiny.CONTRACT.to_json().replace("red", 'röd <&\\" \\n 红')
    assert open_model(model_of(name, contract=contract), Session(threads=1)).contract_json() == contract


@every_backend
def test_a_file_without_a_contract_has_none(name, model_of):
    assert open_model(model_of(name, contract=None), Session(threads=1)).contract_json() is None


@every_backend
def test_facts_name_what_really_computes(name, model_of):
    facts = open_model(model_of(name), Session(threads=2)).facts()
    expected = {
        "onnxruntime": ("onnxruntime", "CPUExecutionProvider", None),
        "openvino": ("openvino", "CPU", None),
        "litert": ("ai-edge-litert", "XNNPACK", 1),
    }
    assert (facts["name"], facts["provider"], facts["input_batch"]) == expected[name]
    assert facts["threads"] == 2
    assert facts["version"][0].isdigit()


@every_backend
def test_a_damaged_file_is_refused_in_one_line(name, model_of):
    path = model_of(name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BrokenModel) as caught:
        open_model(path, Session(threads=1))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@every_backend
def test_an_unknown_device_is_refused(name, model_of):
    with pytest.raises(UnsupportedDevice, match="tpu"):
        open_model(model_of(name), Session(threads=1, device="tpu"))


@every_backend
def test_wrong_images_are_named_with_both_shapes(name, model_of):
    model = open_model(model_of(name), Session(threads=1))
    with pytest.raises(WrongImages, match=r"expected images uint8 \(.*, 8, 8, 3\), got uint8 \(2, 9, 8, 3\)"):
        model.run(np.zeros((2, 9, 8, 3), np.uint8))
    with pytest.raises(WrongImages, match=r"got float32 \(1, 8, 8, 3\)"):
        model.run(np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(WrongImages, match=r"got uint8 \(0, 8, 8, 3\)"):
        model.run(np.zeros((0, 8, 8, 3), np.uint8))


@every_backend
def test_a_missing_runtime_names_the_extra(name, monkeypatch):
    backend = find_backend(name)
    monkeypatch.setitem(sys.modules, backend.module, None)
    with pytest.raises(MissingRuntime, match=rf"pip install 'edgetl\[{backend.extra}\]'"):
        backend.runtime()


def test_a_runtime_that_does_not_load_says_what_it_must_fit(monkeypatch, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libstdc++.so.6: too old')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    message = rf"^onnxruntime is installed but does not load \(libstdc.*\)\. .* NumPy {np.__version__}$"
    with pytest.raises(MissingRuntime, match=message):
        find_backend("onnxruntime").runtime()


def test_tflite_runtime_beside_numpy_2_is_refused_with_the_cure(monkeypatch):
    """The library itself answers with a page of warnings and a SystemError."""
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", SimpleNamespace(__version__="2.14.0"))
    with pytest.raises(MissingRuntime, match=r"^tflite-runtime 2\.14\.0 does not work .* pip install 'numpy<2'$"):
        find_backend("litert").runtime()


@pytest.mark.parametrize(("name", "options"), [("litert", {"batch": 4}), ("openvino", {"batch": 5})])
def test_a_fixed_batch_is_filled_and_cut_again(name, options, model_of):
    model = open_model(model_of(name, **options), Session(threads=1))
    images = tiny.some_images(11)
    assert model.batch == options["batch"]
    np.testing.assert_allclose(model.run(images), tiny.reference(images), atol=2e-6)


def test_integer_outputs_are_scaled_back(model_of):
    images = tiny.some_images(20)
    model = open_model(model_of("litert", int8_output=True), Session(threads=1))
    np.testing.assert_allclose(model.run(images), tiny.reference(images), atol=0.5 / 256 + 1e-6)


def test_a_model_of_another_kind_is_refused(model_of):
    with pytest.raises(BrokenModel, match=r"expected one input uint8 \(N, H, W, 3\), found float32 \(any, 8, 8, 3\)"):
        open_model(model_of("onnxruntime", dtype="FLOAT"), Session(threads=1))


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_onnx_runtime_that_falls_back_to_the_cpu_is_refused(model_of, monkeypatch):
    """It takes a provider that it does not have for a wish, and computes elsewhere."""
    import onnxruntime

    claimed = ["CUDAExecutionProvider", *onnxruntime.get_available_providers()]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: claimed)
    with pytest.raises(UnsupportedDevice, match="asked for CUDAExecutionProvider, onnxruntime chose CPUExecution"):
        open_model(model_of("onnxruntime"), Session(threads=1, device="cuda"))


def test_litert_says_whether_xnnpack_took_the_graph(model_of, monkeypatch):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    assert open_model(model_of("litert"), Session(threads=1)).provider() == "XNNPACK"
    plain = partial(Interpreter, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    monkeypatch.setattr(find_backend("litert"), "_interpreter_class", staticmethod(lambda: plain))
    assert open_model(model_of("litert"), Session(threads=1)).provider() == "builtin"


def test_openvino_computes_in_single_precision(model_of):
    model = open_model(model_of("openvino"), Session(threads=1))
    assert model._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"


def test_openvino_in_another_precision_is_refused(model_of, monkeypatch):
    import openvino

    compile_model = openvino.Core.compile_model

    def careless(core, model, device, properties):
        return compile_model(core, model, device, {**properties, "INFERENCE_PRECISION_HINT": "dynamic"})

    monkeypatch.setattr(openvino.Core, "compile_model", careless)
    with pytest.raises(UnsupportedDevice, match="asked for f32, openvino computes in"):
        open_model(model_of("openvino"), Session(threads=1))


def test_openvino_without_its_weights_says_which_file(model_of):
    path = model_of("openvino")
    path.with_suffix(".bin").unlink()
    with pytest.raises(BrokenModel, match=r"model\.xml: openvino cannot open it \("):
        open_model(path, Session(threads=1))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BrokenModel, match=r"gone\.onnx: no such file"):
        open_model(tmp_path / "gone.onnx", Session(threads=1))


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    with pytest.raises(BrokenModel, match=r"no backend opens '\.pt' files. Known endings: \.onnx, \.tflite, \.xml"):
        backend_for(tmp_path / "model.pt")


def test_an_unknown_backend_lists_the_known_ones():
    with pytest.raises(RunnerError, match=r"no backend named 'tensorrt'\. Known: litert, onnxruntime, openvino"):
        find_backend("tensorrt")


def test_another_package_can_bring_a_backend(monkeypatch, tmp_path):
    own = EntryPoint("own", f"{__name__}:OwnBackend", "edgetl.backends")
    monkeypatch.setattr(backends, "entry_points", lambda group: EntryPoints([own]).select(group=group))
    assert find_backend("own") is OwnBackend
    assert backend_for(tmp_path / "model.own") is OwnBackend


class OwnBackend(BUILTIN["onnxruntime"]):
    """Another package's."""

    suffixes = (".own",)
