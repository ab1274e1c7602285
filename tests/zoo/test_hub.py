"""Pretrained weights of the hub's cache, in a process of its own: the hub reads its environment when imported."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgetl.recipe.networks import ModelConfig
from edgetl.zoo.build import build_classifier
from edgetl.zoo.torchvision_ops import ensure_torchvision

_SNAPSHOT = "0123456789abcdef0123456789abcdef01234567"

_CHILD = """
import json, sys
from edgetl.recipe.networks import ModelConfig
from edgetl.errors import EdgetlError
from edgetl.runs.reporter import Reporter
from edgetl.zoo.build import build_classifier, check_obtainable
from edgetl.zoo.torchvision_ops import ensure_torchvision
from safetensors.torch import save_file

facts = {"declared": ensure_torchvision() is not None}
import timm, torchvision
classifier, entry = build_classifier(ModelConfig(model="test_resnet"), 3, 32, seed=9)
save_file({k: v.contiguous() for k, v in classifier.net.state_dict().items()}, sys.argv[1])
same_classes, _ = build_classifier(ModelConfig(model="test_resnet"), 1000, 160, seed=9)
save_file({k: v.contiguous() for k, v in same_classes.net.state_dict().items()}, sys.argv[2])
facts["entry"] = entry
check_obtainable(ModelConfig(model="test_resnet"), Reporter())
for name in ("test_efficientnet", "test_mambaout", "torchvision:resnet18"):
    try:
        check_obtainable(ModelConfig(model=name), Reporter())
    except EdgetlError as fault:
        facts[name] = [type(fault).__name__, fault.exit_code, str(fault)]
check_obtainable(ModelConfig(model="test_efficientnet", weights="none"), Reporter())
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """What a machine without network finds whose cache holds test_resnet: its facts, stored and built weights."""
    place = tmp_path_factory.mktemp("hub")
    network = build_classifier(ModelConfig(model="test_resnet", weights="none"), 1000, 160, seed=0)[0].net
    stored = {name: value.contiguous() for name, value in network.state_dict().items()}
    ensure_torchvision()
    import timm

    repository = place / f"models--{timm.get_pretrained_cfg('test_resnet').hf_hub_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / _SNAPSHOT
    snapshot.mkdir(parents=True)
    save_file(stored, snapshot / "model.safetensors")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(_SNAPSHOT)
    environment = {**os.environ, "HF_HUB_CACHE": str(place), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"TORCH_HOME": str(place), "https_proxy": "http://127.0.0.1:9"}  # nobody listens there
    command = [sys.executable, "-c", _CHILD, *(str(place / name) for name in ("built.safetensors", "same.safetensors"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built, of_same_classes = (load_file(place / name) for name in ("built.safetensors", "same.safetensors"))
    return json.loads(done.stdout), stored, built, of_same_classes


def test_default_weights_come_from_the_hubs_cache(hub):
    facts, stored, built, _ = hub
    head = {"fc.weight", "fc.bias"}
    differing = {name for name, value in stored.items() if not torch.equal(value, built[name])}
    assert differing == head
    assert built["fc.weight"].shape[0] == 3
    assert 0.005 < built["fc.weight"].std() < 0.02, "a new head starts small, or it ruins the filters"
    assert facts["entry"]["origin"] == {"weights": "default"}
    assert facts["entry"]["arguments"] == {}, "where the file lies here says nothing on another machine"


def test_default_weights_of_the_same_classes_keep_their_head(hub):
    _, stored, _, built = hub
    assert all(torch.equal(value, built[name]) for name, value in stored.items())


def test_weights_that_cannot_be_had_name_both_ways_out(hub):
    kind, exit_code, text = hub[0]["test_efficientnet"]
    assert (kind, exit_code) == ("WeightsUnavailable", 4)
    assert text.startswith("test_efficientnet: pretrained weights are not available here (")
    assert "'--weights none'" in text
    assert "'--weights FILE.safetensors'" in text
    assert "\n" not in text


def test_torchvisions_weights_are_looked_for_before_anything_waits_for_them(hub):
    kind, _, text = hub[0]["torchvision:resnet18"]
    assert kind == "WeightsUnavailable"
    assert text.startswith("torchvision:resnet18: pretrained weights are not available here (")


def test_a_model_that_never_had_weights_says_so(hub):
    assert "(timm has none for this model)" in hub[0]["test_mambaout"][2]


def test_operators_are_declared_only_where_torchvision_does_not_import_by_itself(hub):
    plain = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    assert plain.returncode == 0 or "torchvision::nms does not exist" in plain.stderr
    assert hub[0]["declared"] == (plain.returncode != 0)


def test_asking_again_declares_nothing_again():
    assert ensure_torchvision() is ensure_torchvision()
