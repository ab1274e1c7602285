"""A run of the digits that is trained once, and a small folder of images to train on again and again."""

from pathlib import Path

import pytest
import small_run

from edgetl.runs.folder import RunFolder


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory):
    with small_run.user_cache(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> RunFolder:
    """Three epochs of test_resnet on the digits."""
    return RunFolder.open(small_run.trained(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def colours(tmp_path_factory) -> Path:
    """Two classes of 24 noisy images."""
    return small_run.colours(tmp_path_factory.getbasetemp())
