"""Device profiles."""

import pytest

from edgetl.devices.profiles import find_target, known_targets
from edgetl.errors import ConfigError


def test_the_promised_devices_are_known():
    assert {"rpi4", "rpi5", "linux-x86"} <= {target.name for target in known_targets()}
    assert all(target.formats == ("onnx", "tflite", "openvino") for target in known_targets())


def test_a_file_of_the_user_is_a_target_too(tmp_path):
    file = tmp_path / "board.yaml"
    text = "name: board\ntitle: A board\ncpu: 1 x A53\narchitecture: aarch64\nthreads: 1\nmemory_mb: 512\n"
    file.write_text(text + "int8_dot_product: false\nruntimes:\n  tflite: {package: tflite-runtime, version: '2.14'}\n")
    assert find_target(str(file)).formats == ("tflite",)


def test_what_is_wrong_with_a_target_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"target: no target named 'rpi6'. Did you mean 'rpi"):
        find_target("rpi6")
    with pytest.raises(ConfigError, match=r"gone.yaml: no such target file"):
        find_target(str(tmp_path / "gone.yaml"))
    (tmp_path / "board.yaml").write_text("name: [board\n")
    with pytest.raises(ConfigError, match=r"board.yaml: is not valid YAML"):
        find_target(str(tmp_path / "board.yaml"))
    (tmp_path / "board.yaml").write_text("name: board\nthread: 4\n")
    with pytest.raises(ConfigError, match=r"^board\."):
        find_target(str(tmp_path / "board.yaml"))
