"""What a stage declares is what it can read, and what makes it run again."""

from dataclasses import replace

import pytest
import small_run

from edgetl.chain.stages import CHAIN, STAGES, extras_of, inputs_of, readers_of
from edgetl.recipe.fields import Recipe
from edgetl.recipe.scope import narrowed, values_of
from edgetl.recipe.section import UndeclaredRead
from edgetl.runs import installed


@pytest.fixture
def inputs(tmp_path):
    """The hash of what decides a stage: `inputs("bench", settings, formats)`."""
    folder = small_run.run_of(tmp_path)

    def find(name, settings=None, formats=("onnx",)):
        recipe = settings or small_run.recipe()
        return inputs_of(STAGES[name], small_run.context(folder, tmp_path, recipe), recipe, formats)

    return find


def test_a_part_that_is_not_declared_cannot_be_read():
    part = narrowed(Recipe(), ("seed", "quantize", "bench.threads"))
    assert (part.seed, part.quantize.max_drop, part.bench.threads) == (0, 0.01, "auto")
    with pytest.raises(UndeclaredRead, match=r"Recipe\.student is read, but the stage's record does not declare it"):
        _ = part.student
    with pytest.raises(UndeclaredRead, match=r"BenchConfig\.warmup_runs is read"):
        _ = part.bench.warmup_runs
    changed = part.model_copy(update={"quantize": part.quantize.model_copy(update={"max_drop": 0.5})})
    assert changed.quantize.max_drop == 0.5
    with pytest.raises(UndeclaredRead):
        _ = changed.data


def test_the_values_of_a_part_are_plain_and_places_can_be_left_out():
    names = ("seed", "data.workers", "distill", "checkpoint_seconds")
    values = values_of(Recipe(seed=3), names)
    assert (values["seed"], values["data"]) == (3, {"workers": "auto"})
    assert values["distill"]["cache"] == "auto"
    bare = values_of(Recipe(seed=3), names, places=False)
    assert bare["data"] == {}
    assert "cache" not in bare["distill"]
    assert "checkpoint_seconds" not in bare


@pytest.mark.parametrize(
    ("name", "changed", "again"),
    [
        ("bench", {"bench": {"warmup_runs": 11}}, True),
        ("bench", {"student": {"epochs": 99}}, False),
        ("quantize", {"bench": {"warmup_runs": 11}}, False),
        ("quantize", {"bench": {"threads": 1}}, True),
        ("verify", {"quantize": {"max_drop": 0.5}}, True),
        ("verify", {"quantize": {"calibration_images": 32}}, False),
        ("distill", {"student": {"epochs": 99}}, True),
        ("distill", {"distill": {"cache": "elsewhere"}}, False),
        ("distill", {"checkpoint_seconds": 0}, False),
        ("distill", {"data": {"workers": 3}}, False),
        ("finetune", {"student": {"epochs": 99}}, False),
        ("report", {"student": {"epochs": 99}}, False),
    ],
)
def test_a_stage_runs_again_if_what_it_reads_has_changed(name, changed, again, inputs):
    assert (inputs(name) != inputs(name, small_run.recipe(**changed))) == again


@pytest.mark.parametrize(
    ("library", "stages"),
    [
        ("matplotlib", {"report"}),
        ("onnxruntime", {"export", "quantize", "verify", "bench", "explain"}),
        ("openvino", set()),
        ("torch", {"export", "quantize", "verify"}),
    ],
)
def test_another_release_repeats_only_what_is_made_with_it(library, stages, inputs, monkeypatch):
    """With ONNX alone, so that OpenVINO is no tool of any stage; training is never repeated for that."""
    names = [name for name in CHAIN if name != "data"]
    before = {name: inputs(name) for name in names}
    known = installed.installed_version
    monkeypatch.setattr(installed, "installed_version", lambda name: "99" if name == library else known(name))
    assert {name for name in names if inputs(name) != before[name]} == stages


def test_a_weights_file_counts_by_its_content(inputs, tmp_path):
    first, second = (tmp_path / name for name in ("first.safetensors", "second.safetensors"))
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")
    moved = [inputs("distill", small_run.recipe(student={"weights": str(file)})) for file in (first, second)]
    assert moved[0] == moved[1]
    second.write_bytes(b"others")
    assert inputs("distill", small_run.recipe(student={"weights": str(second)})) != moved[0]


def test_readers_are_found_through_others():
    assert set(readers_of("verify")) == {"report"}
    assert {"distill", "quantize", "verify", "bench", "report"} <= set(readers_of("data"))
    assert "finetune" not in readers_of("distill")


def test_export_needs_the_network_and_each_format_its_own_extra():
    assert extras_of(STAGES["export"], ("onnx", "tflite")) == ("train", "onnx", "tflite")
    assert extras_of(STAGES["bench"], ("openvino",)) == ("openvino",)


@pytest.mark.parametrize("name", CHAIN)
def test_every_stage_can_be_loaded_and_reads_earlier_ones(name):
    stage = STAGES[name]
    assert callable(stage.load())
    assert all(CHAIN.index(read) < CHAIN.index(name) for read in stage.reads)
    assert replace(stage, name="other").recipe == stage.recipe
    assert narrowed(Recipe(), stage.recipe)
