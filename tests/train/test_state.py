"""What a training keeps of its optimizer and takes up again."""

import pytest
import torch
from torch import nn

from edgetl.train.checkpoint import Checkpoint, save_checkpoint
from edgetl.train.labels import FromLabels
from edgetl.train.state import Progress, TrainingState
from edgetl.train.trainee import Trainee


def training(seed, order=(0, 1, 2, 3), decay=0.9):
    """A small network, and an optimizer whose groups hold the parameters in some order."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    trainee = Trainee(network, FromLabels(0.0), side=1)
    parameters = [list(trainee.parameters())[number] for number in order]
    groups = [{"params": parameters[:1], "weight_decay": 0.1}, {"params": parameters[1:], "weight_decay": 0.0}]
    return TrainingState(trainee, torch.optim.AdamW(groups, lr=0.1), decay)


def step(state):
    state.optimizer.zero_grad()
    state.trainee.classifier(torch.arange(8.0).reshape(2, 4)).square().sum().backward()
    state.optimizer.step()
    state.average()


@pytest.fixture
def kept(tmp_path):
    """A state after two steps, in a checkpoint."""
    state = training(seed=1)
    step(state)
    step(state)
    save_checkpoint(tmp_path, "these", Checkpoint(2, []), state._tensors(Progress(2, [], [torch.tensor(0.5)])))
    return state


def test_what_is_restored_goes_on_as_what_was_kept(kept, tmp_path):
    again = training(seed=7)
    progress = again.restore(tmp_path, "these", None)
    assert (progress.steps_done, progress.losses) == (2, [torch.tensor(0.5)])
    for state in (kept, again):
        step(state)
    ours, theirs = (state._tensors(Progress()) for state in (kept, again))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_optimizer_finds_its_parameters_by_name(kept, tmp_path):
    other = training(seed=7, order=(3, 2, 1, 0))
    other.restore(tmp_path, "these", None)
    ours, theirs = kept.optimizer.state, other.optimizer.state
    for one, same in zip(kept.trainee.parameters(), other.trainee.parameters(), strict=True):
        assert torch.equal(ours[one]["exp_avg"], theirs[same]["exp_avg"])
    assert [group["weight_decay"] for group in other.optimizer.param_groups] == [0.1, 0.0]
