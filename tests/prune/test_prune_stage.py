"""The stage on a trained network: real files in a real runtime, and every outcome with times that are given."""

import json
from dataclasses import replace

import pytest
import small_run
from heard import Heard
from safetensors import safe_open

from edgetl.prune import search
from edgetl.prune.stage import run
from edgetl.prune.timing import Stopwatch
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.folder import RunFolder
from edgetl.zoo.build import build_classifier, load_classifier


@pytest.fixture
def stage(tmp_path, tmp_path_factory):
    """Prune a small trained network: `result, report, heard = stage(latency=0.6)`."""

    def prune(target="linux-x86", **config):
        folder = RunFolder.open(small_run.trained(tmp_path_factory.getbasetemp()))
        settings = small_run.recipe(prune=config)
        heard = Heard()
        context = replace(small_run.context(folder, tmp_path, settings, target), reporter=heard)
        result = run(context)
        return result, json.loads((tmp_path / "prune.json").read_text()), heard

    return prune


def test_a_network_is_pruned_by_what_a_runtime_measures(stage, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "MOST_CANDIDATES", 1)
    result, report, _ = stage(latency=0.9)
    assert report["format"] == "openvino"
    assert len(report["candidates"]) == 1
    assert len(report["baseline"]["weights_sha256"]) == 64
    assert report["baseline"]["val_top1"] > 0.9
    for candidate in report["candidates"]:
        assert candidate["p50_ms"] > 0
        assert candidate["latency_ratio_low"] <= candidate["latency_ratio"] <= candidate["latency_ratio_high"]
        assert candidate["multiply_adds"] < report["baseline"]["multiply_adds"]
    assert (report["kept"] is None) == (result.metrics == {})
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".draft-")]


def test_what_is_kept_is_written_with_what_it_was(stage, latency, tmp_path):
    latency(lambda parameters: 0.5 if parameters < 200_000 else 0.9)
    result, report, heard = stage(latency=0.6)
    (kept,) = [each for each in report["candidates"] if each["kept"] == report["kept"]]
    assert report["reached"]
    assert result.failure == ""
    assert kept["latency_ratio"] == 0.5
    assert f"Pruned to {kept['kept']:.0%} of the channels: 0.50 of the time" in heard.lines[-1]
    config = ModelConfig(model="test_resnet", weights=str(tmp_path / "pruned.safetensors"))
    network, entry = build_classifier(config, 10, 16, seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == kept["parameters"]
    assert entry["pruned"]["unpruned_parameters"] == report["baseline"]["parameters"]
    assert entry["pruned"]["latency_ratio"] == 0.5


def test_multiply_adds_are_those_of_filters_and_matrices(stage, latency, tmp_path_factory):
    latency(lambda _: 0.5)
    _, report, _ = stage(latency=0.5)
    network = load_classifier(RunFolder.open(small_run.trained(tmp_path_factory.getbasetemp()))).net
    first = network.conv1[0]
    assert report["baseline"]["multiply_adds"] > first.weight.numel() * 16 * 16 / 4
    assert report["baseline"]["parameters"] == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("ratio", [0.98, 1.4])
def test_pruning_that_is_not_faster_is_dropped_and_the_network_goes_on_as_it_is(
    ratio, stage, latency, tmp_path, tmp_path_factory
):
    latency(lambda _: ratio)
    result, report, heard = stage(latency=0.6)
    assert (report["kept"], report["reached"], result.failure) == (None, False, "")
    assert heard.lines[-1].startswith("Pruning is dropped: no width is faster than the unpruned student here")
    trained = small_run.trained(tmp_path_factory.getbasetemp()) / "model.safetensors"
    assert (tmp_path / "pruned.safetensors").read_bytes() == trained.read_bytes()


def test_a_wish_that_cannot_be_reached_gives_the_fastest(stage, latency, tmp_path):
    latency(lambda parameters: 0.7 if parameters < 100_000 else 0.8)
    result, report, heard = stage(latency=0.1)
    assert (report["reached"], result.failure) == (False, "")
    assert "0.1 of the time cannot be reached with a sane number of channels" in heard.lines[-1]
    assert (tmp_path / "pruned.safetensors").exists()


def test_channels_are_in_multiples_as_asked(stage, latency, tmp_path):
    latency(lambda _: 0.5)
    stage(latency=0.5, multiple=16)
    with safe_open(tmp_path / "pruned.safetensors", "pt") as file:
        assert file.get_tensor("layer4.0.conv1.weight").shape[0] % 16 == 0


@pytest.mark.parametrize(("target", "said"), [("rpi4", True), ("linux-x86", False)])
def test_it_says_where_latency_was_measured(target, said, stage, latency):
    from edgetl.devices.facts import machine
    from edgetl.devices.profiles import find_target

    latency(lambda _: 0.5)
    _, _, heard = stage(target=target, latency=0.5)
    elsewhere = machine()["architecture"] != find_target(target).architecture
    lines = [line for line in heard.lines if "is measured on this machine" in line]
    assert bool(lines) == elsewhere
    assert not elsewhere or lines[0].endswith(f"not on {target} (aarch64)." if said else "(x86_64).")


def test_the_same_width_is_not_timed_twice(stage, monkeypatch):
    sizes = []
    from edgetl.prune.timing import Speedup

    def time(_self, pruned):
        sizes.append(sum(parameter.numel() for parameter in pruned.parameters()))
        return Speedup(2.0, 1.0, 2.0, 2.0, 2.0)

    monkeypatch.setattr(Stopwatch, "time", time)
    stage(latency=0.1, multiple=16)
    assert len(sizes) == len(set(sizes)) < 5
