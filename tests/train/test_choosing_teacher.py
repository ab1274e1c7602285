"""`--teacher auto`: which networks are at hand, and which of them is chosen."""

import json

import pytest
import small_run
from heard import Heard
from safetensors.torch import load_file, save_file

from edgetl.chain.choosing import foreseen, settled
from edgetl.chain.plan import plan, plan_finetuning
from edgetl.chain.running import execute
from edgetl.data.store import ArrayStore
from edgetl.errors import ConfigError
from edgetl.runs.folder import RunFolder
from edgetl.zoo.at_hand import AtHand, networks_at_hand
from edgetl.zoo.torchvision_ops import ensure_torchvision

HEADER = {"timm_model": "test_resnet", "mean": "[0.5,0.5,0.5]", "std": "[0.5,0.5,0.5]"}


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """A hub's cache of the tests' own, empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def folder(tmp_path, tmp_path_factory):
    """Weights of two networks and a file of nobody knows what; one network knows the digits, one was damaged."""
    files = small_run.weights_of_digits(tmp_path_factory.getbasetemp())
    place = tmp_path / "weights"
    place.mkdir()
    for name, file in (("a-damaged", files["damaged"]), ("b-whole", files["whole"])):
        save_file(load_file(file), place / f"{name}.safetensors", HEADER)
    save_file(load_file(files["whole"]), place / "mystery.safetensors")
    return place


@pytest.fixture
def asked(folder, tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    teacher = {"model": "auto", "weights": str(folder), "strategy": "features", "small_images": "keep"}
    with small_run.user_cache(base):
        yield small_run.recipe(
            data={"path": str(small_run.few_digits(base)), "image_size": 16, "resize": "crop"}, teacher=teacher
        )


def test_the_teacher_is_the_one_on_whose_features_a_head_answers_best(asked, folder, tmp_path):
    heard, out = Heard(), tmp_path / "run"
    run = execute(settled(asked, out, heard, lambda known: plan_finetuning(known, out)), heard)
    choice = run.manifest["choice"]
    assert [each["weights"] for each in choice["candidates"]] == [
        str(folder / name) for name in ("a-damaged.safetensors", "b-whole.safetensors")
    ]
    damaged, whole = (each["val_top1"] for each in choice["candidates"])
    assert whole > damaged
    assert run.manifest["recipe"]["teacher"]["weights"].endswith("b-whole.safetensors")
    assert run.manifest["recipe"]["teacher"]["model"] == choice["teacher"] == "test_resnet"
    assert heard.lines[0].startswith("Left out, since their network is not known: mystery.safetensors.")
    assert heard.lines[1].startswith(
        "Teacher: test_resnet, on whose features a head answers best. Of 80 plain images, by cross-validation:"
        f" b-whole {whole:.1%}"
    )
    assert RunFolder.open(out).manifest["choice"] == choice, "it passes the manifest's own checks"


def test_a_choice_that_was_made_is_not_made_again(asked, tmp_path, monkeypatch):
    out = tmp_path / "run"

    def planned(how):
        return how(asked, out, Heard(), lambda known: plan_finetuning(known, out))

    before = planned(foreseen)
    assert [run.stages for run in before] == [("data", "probe")] * 2 + [("data", "finetune")]
    assert not out.exists(), "looking ahead writes nothing"
    first = planned(settled)
    monkeypatch.setattr(ArrayStore, "write", lambda *_: pytest.fail("features were computed again"))
    assert planned(settled) == first == planned(foreseen)


def test_of_equals_the_faster_is_chosen(asked, folder, tmp_path, tmp_path_factory):
    whole = load_file(folder / "b-whole.safetensors")
    save_file(whole, folder / "a-damaged.safetensors", HEADER)  # equally good, but listed first
    (folder / "mystery.safetensors").unlink()
    out = tmp_path / "run"
    settled(asked, out, Heard(), lambda known: plan_finetuning(known, out))
    record = out / "candidates" / "a-damaged" / "manifest.json"
    manifest = json.loads(record.read_text())
    manifest["stages"]["probe"]["multiply_adds"] += 1
    record.write_text(json.dumps(manifest))
    (run,) = settled(asked, out, Heard(), lambda known: plan_finetuning(known, out))
    assert run.recipe.teacher.weights.endswith("b-whole.safetensors")


def test_nothing_at_hand_says_where_it_was_looked_for(asked, hub, tmp_path):
    alone = asked.model_copy(update={"teacher": asked.teacher.model_copy(update={"weights": "default"})})
    with pytest.raises(ConfigError) as caught:
        settled(alone, tmp_path / "run", Heard(), lambda known: plan(known, tmp_path / "run"))
    assert str(caught.value) == (
        f"teacher.model: 'auto' found no pretrained weights; it looked into the hub's cache ({hub})."
        " Name a model, or a folder of .safetensors files with --set teacher.weights=FOLDER."
    )


def test_random_weights_leave_nothing_to_choose(asked, tmp_path):
    random = asked.model_copy(update={"teacher": asked.teacher.model_copy(update={"weights": "none"})})
    with pytest.raises(ConfigError, match="'auto' chooses among pretrained weights"):
        settled(random, tmp_path / "run", Heard(), lambda known: plan(known, tmp_path / "run"))


def test_short_names_are_found_in_the_hubs_cache(hub):
    ensure_torchvision()
    import timm

    repository = hub / f"models--{timm.get_pretrained_cfg('mobilenetv2_100').hf_hub_id.replace('/', '--')}"
    (repository / "snapshots" / "0123").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    (repository / "snapshots" / "0123" / "model.safetensors").write_bytes(b"")
    assert networks_at_hand("default") == ([AtHand("mobilenetv2", "default")], [])


def test_a_plan_that_trains_no_teacher_chooses_none(asked, tmp_path):
    runs = settled(asked, tmp_path, Heard(), lambda known: plan(known, tmp_path, ("bench", "report")))
    assert [run.stages for run in runs] == [(), ("bench", "report")]
