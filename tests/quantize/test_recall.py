"""What quantization worked out before is taken again, and nothing else is."""

import pytest
import torch

from edgetl.quantize.grids import Grid
from edgetl.quantize.judge import Judgement, Score
from edgetl.quantize.plan import Plan, RoundedLayer
from edgetl.quantize.recall import FORGETFUL, Recall, digest_of

LAYER = RoundedLayer(torch.tensor([[1, -2]], dtype=torch.int8), torch.tensor([0.5]), torch.tensor([0.25]))
PLAN = Plan({"conv": LAYER}, {"relu": Grid(0.1, 3)}, pixels=True, alone={"conv": LAYER}, dead=("x",))
JUDGEMENT = Judgement(Score(0.5, 0.25, 0.1, 0.0, 0.0, 0.2, 8), 1.5, 100)


def never():
    raise AssertionError("it was worked out again")


def test_a_plan_comes_back_as_it_was(tmp_path):
    Recall(tmp_path, "about").plan("key", lambda: PLAN)
    again = Recall(tmp_path, "about").plan("key", never)
    assert digest_of(again) == digest_of(PLAN)
    assert again.grids == PLAN.grids
    assert (again.pixels, again.activations, again.dead) == (True, "static", ("x",))


def test_whether_a_plan_is_known_can_be_asked(tmp_path):
    Recall(tmp_path, "about").plan("key", lambda: PLAN)
    assert Recall(tmp_path, "about").has_plan("key")
    assert not Recall(tmp_path, "other").has_plan("key")
    assert not FORGETFUL.has_plan("key")


def test_a_judgement_comes_back_as_it_was(tmp_path):
    Recall(tmp_path).judgement("key", lambda: JUDGEMENT)
    assert Recall(tmp_path).judgement("key", never) == JUDGEMENT


@pytest.mark.parametrize(("about", "key"), [("other", "key"), ("about", "other")])
def test_what_depends_on_something_else_is_worked_out(about, key, tmp_path):
    Recall(tmp_path, "about").judgement("key", lambda: JUDGEMENT)
    with pytest.raises(AssertionError):
        Recall(tmp_path, about).judgement(key, never)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"{}"])
def test_what_cannot_be_read_is_worked_out_anew(content, tmp_path):
    Recall(tmp_path).plan("key", lambda: PLAN)
    Recall(tmp_path).judgement("key", lambda: JUDGEMENT)
    for file in tmp_path.iterdir():
        file.write_bytes(content)
    assert Recall(tmp_path).judgement("key", lambda: JUDGEMENT) == JUDGEMENT
    assert digest_of(Recall(tmp_path).plan("key", lambda: PLAN)) == digest_of(PLAN)


def test_what_was_not_asked_for_is_forgotten_the_oldest_first(tmp_path):
    old, new = Recall(tmp_path), Recall(tmp_path)
    for key in ("oldest", "older", "kept"):
        old.judgement(key, lambda: JUDGEMENT)
    new.judgement("kept", never)
    new.forget_others()
    again = Recall(tmp_path)
    for key in ("older", "kept"):
        again.judgement(key, never)
    assert len(list(tmp_path.iterdir())) == 2


def test_without_a_folder_nothing_is_kept():
    assert FORGETFUL.judgement("key", lambda: JUDGEMENT) == JUDGEMENT
    with pytest.raises(AssertionError):
        FORGETFUL.judgement("key", never)
