"""Nothing reports home: the runner leaves no file behind, in whichever runtime."""

import os
import subprocess
import sys

import pytest
import tiny

PLACES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR")


@pytest.fixture
def places(tmp_path):
    """Empty folders in place of those that a library may write to without being asked."""
    places = {name: tmp_path / "places" / name for name in PLACES}
    for place in places.values():
        place.mkdir(parents=True)
    return places


def run(places, *command):
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {name: str(place) for name, place in places.items()} | {"PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, *map(str, command)], env=environment, capture_output=True, check=True)
    return sorted(str(path) for place in places.values() for path in place.rglob("*"))


@pytest.mark.parametrize("name", sorted(tiny.FILE_OF_FORMAT))
def test_the_runner_leaves_nothing_behind(name, places, tmp_path):
    model = tiny.build(name, tmp_path)
    files = tiny.write_list(tmp_path / "list.json", tiny.write_images(tmp_path / "images", tiny.some_images(1)))
    command = ["-m", "edgetl.runner", "time", model, "--files", files, "--min-samples", 2, "--min-seconds", 0]
    assert run(places, *command) == []
