"""Help pages and the small verbs, as a newcomer meets them."""

import json

import pytest
import yaml

VERBS = [
    "run",
    "distill",
    "finetune",
    "export",
    "quantize",
    "verify",
    "bench",
    "explain",
    "report",
    "targets",
    "doctor",
    "init",
]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_page_with_an_example(edgetl, verb):
    done = edgetl(verb, "--help")
    assert done.returncode == 0
    assert f"Example: edgetl {verb}" in done.stdout


def test_the_first_page_names_every_verb(edgetl):
    page = edgetl("--help").stdout
    assert all(f"│ {verb} " in page for verb in VERBS)
    assert "--install-completion" in page


def test_targets_for_people_and_for_programs(edgetl):
    assert "Raspberry Pi 4" in edgetl("targets").stdout
    listed = json.loads(edgetl("targets", "--json").stdout)
    assert listed["schema_version"] == 1
    assert {"rpi4", "rpi5", "linux-x86"} <= {target["name"] for target in listed["targets"]}


def test_doctor_knows_this_machine(edgetl):
    done = edgetl("doctor", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert told["missing"] == {}
    assert told["machine"]["cores"] >= 1
    assert told["versions"]["onnxruntime"]
    assert "installed" in edgetl("doctor").stdout


def test_init_writes_a_recipe_that_run_takes(edgetl, tmp_path):
    done = edgetl("init", "--data", "phötos 😀", "--target", "rpi5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "recipe.yaml").read_text()
    written = yaml.safe_load(text)
    assert (written["data"]["path"], written["target"]) == ("phötos 😀", "rpi5")
    assert written["teacher"]["weights"] == "default"
    shown = edgetl("run", "recipe.yaml", "--print-config", cwd=tmp_path).stdout
    assert shown.endswith(text)
    assert shown.startswith("# runs/phötos 😀-mobilenetv2/teacher: teacher, resnet50: data, finetune\n# runs/phötos")
    again = edgetl("init", cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr == "edgetl: recipe.yaml: already exists. Choose another name, or delete it first.\n"


def test_print_config_shows_what_would_run(edgetl, tmp_path):
    done = edgetl("run", "--set", "student.epochs=3", "--teacher", "vit_small", "--print-config", cwd=tmp_path)
    shown = yaml.safe_load(done.stdout)
    assert shown["data"]["path"] == "digits"
    assert shown["teacher"]["model"] == "vit_small"
    assert shown["teacher"]["weights"] == "none"
    assert shown["student"]["epochs"] == 3
    assert list(tmp_path.iterdir()) == []


def test_a_weights_file_for_two_models_is_ambiguous(edgetl):
    done = edgetl("run", "--weights", "mine.safetensors")
    assert done.returncode == 2
    assert "Say which with --set teacher.weights=FILE or --set student.weights=FILE" in done.stderr
