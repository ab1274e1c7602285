"""The control run: the same student without its teacher."""

import numpy as np
import pytest
import small_run
import torch
from distill.conftest import CONTROL
from PIL import Image

import edgetl.distill.control
from edgetl.data.index import read_index
from edgetl.distill.paired import paired_gain
from edgetl.train.evaluation import evaluate
from edgetl.zoo.build import load_classifier


def control(run, seeds=2, **options):
    folder, _, heard = run("run", control={"seeds": seeds}, **CONTROL, **options)
    return folder, folder.read_json("control.json"), heard


def test_it_trains_each_seed_with_and_without_and_says_what_the_teacher_gave(controlled):
    folder, _, heard = controlled
    found = folder.read_json("control.json")
    own = folder.manifest["metrics"]["distill"]["test_top1"]
    assert found["top1_with_teacher"][0] == pytest.approx(own), "the run's own student is the first"
    assert (len(found["top1_with_teacher"]), len(found["top1_without_teacher"])) == (2, 2)
    mean = np.mean(found["top1_with_teacher"]) - np.mean(found["top1_without_teacher"])
    assert found["gain"]["points"] == pytest.approx(100 * mean)
    assert folder.manifest["metrics"]["control"]["gain_points"] == found["gain"]["points"]
    assert any(line.startswith("The teacher ") for line in heard.lines)
    assert not folder.checkpoint_dir("control").exists()


def test_the_control_has_the_same_start_batches_and_steps_but_fresh_views(distill, monkeypatch):
    seen = []
    own = edgetl.distill.control.fit

    def spy(student, training, context):
        order = training.order
        addresses = [order.addresses(step) for step in range(training.total_steps)]
        seen.append((next(student.parameters()).detach().clone(), addresses, training.objective))
        return own(student, training, context)

    monkeypatch.setattr(edgetl.distill.control, "fit", spy)
    monkeypatch.setattr("edgetl.distill.lesson.fit", spy)
    control(distill, distill={"teacher_views": 2})
    with_teacher, taught, *alone = seen
    for one, other in ((with_teacher, alone[0]), (taught, alone[1])):
        assert torch.equal(one[0], other[0]), "the same random start"
        positions = [[[p for p, _ in batch] for batch in addresses] for addresses in (one[1], other[1])]
        assert positions[0] == positions[1], "the same images in the same order"
        assert [batch[0][1] for batch in one[1][::4]] == [0, 1, 0]
        assert [batch[0][1] for batch in other[1][::4]] == [0, 1, 2]
        assert type(other[2]).__name__ == "FromLabels"
    assert not torch.equal(alone[0][0], alone[1][0]), "another seed starts elsewhere"


def test_a_stopped_control_run_trains_no_student_twice(distill, controlled, monkeypatch):
    trained = []
    own = edgetl.distill.control.fit

    def stop_at_the_second(student, training, context):
        trained.append(training.checkpoints)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return own(student, training, context)

    monkeypatch.setattr(edgetl.distill.control, "fit", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        control(distill)
    _, found, _ = control(distill)
    assert trained == ["control/alone-0", "control/alone-1", "control/alone-1"]
    assert found == controlled[0].read_json("control.json")


def test_the_report_is_computed_from_the_answers_to_each_image(distill, monkeypatch):
    given = []

    def spy(with_SN, without_SN):
        given.append((with_SN, without_SN))
        return paired_gain(with_SN, without_SN)

    monkeypatch.setattr(edgetl.distill.control, "paired_gain", spy)
    folder, _, _ = control(distill, seeds=1)
    ((with_SN, _),) = given
    asked = small_run.context(folder, folder.path)
    score = evaluate(load_classifier(folder), read_index(folder), "test", asked, torch.device("cpu"))
    np.testing.assert_array_equal(with_SN[0], score.right_N)


def test_with_unlabelled_images_the_control_takes_as_many_steps(distill, tmp_path, colours):
    rng = np.random.default_rng(9)
    for number in range(30):
        (tmp_path / "more").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).save(tmp_path / "more" / f"{number}.png")
    folder, _, heard = control(distill, seeds=1, distill={"unlabelled": str(tmp_path / "more")})
    assert folder.manifest["metrics"]["data"]["unlabelled_images"] == 30
    assert folder.manifest["lineage"]["unlabelled_images"] == 30
    assert "Views: 3 of each of 62 images; a new one in each epoch." in heard.lines
