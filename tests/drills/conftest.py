"""What the drills train: a network with batch norm and dropout, on pictures that are there in a second."""

import pytest
import small_run

from edgetl.data.scan import scan
from edgetl.runs.reporter import Reporter


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory):
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(scope="session")
def colours(tmp_path_factory):
    """Two classes of 24 noisy images; looked at once, so that no child has to."""
    place = small_run.colours(tmp_path_factory.getbasetemp())
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        scan(place, small_run.recipe().data, seed=0, reporter=Reporter())
    return place


@pytest.fixture
def settings(colours):
    """A recipe whose every step is followed by a checkpoint."""

    def make(workers=0, **sections):
        network = {"model": "test_resnet", "batch_size": 8, "epochs": 6, "average_decay": 0.9}
        options = {
            "checkpoint_seconds": 0,
            "data": {"path": str(colours), "resize": "crop", "workers": workers},
            "teacher": network | {"epochs": 4},
            "student": network | {"resize_from": 0.5},
            "distill": {"teacher_views": 3, "keep_pixels": "always", "loss": {"kd": 1.0, "feature": 0.1}},
        }
        return small_run.recipe(**options | sections)

    return make


def train_both(settings, out):
    """What a child does: fine-tune a teacher, and distill from it."""
    teacher = small_run.made(settings, out / "teacher", "teacher", ("data", "finetune"), Reporter())
    small_run.made(settings, out, "student", ("data", "distill"), Reporter(), teachers=(teacher,))
