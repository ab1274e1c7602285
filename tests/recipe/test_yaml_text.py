"""YAML of a recipe: what would fill the memory, hang, or mean something else than it says is refused."""

import os

import pytest
import yaml

from edgetl.errors import ConfigError
from edgetl.recipe.reading import load_recipe
from edgetl.recipe.yaml_text import parsed

BOMB = "a: &a [1]\n" + "".join(
    f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join([f'*{chr(97 + k)}'] * 9)}]\n" for k in range(9)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "an alias"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1\na: 2\n", "the key 'a' comes twice"),
        ("a: {b: 1, b: 2}", "the key 'b' comes twice"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: !!int abc", "invalid literal"),
    ],
)
def test_what_is_refused(text, problem):
    with pytest.raises(yaml.YAMLError) as caught:
        parsed(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        ("0o17", "0o17"),
        ("017", "017"),
        ("2026-01-01", "2026-01-01"),
        ("9" * 5000, "9" * 5000),
        ("1e-3", 1e-3),
        ("1_000", "1_000"),
        ("-3", -3),
        ("0.5", 0.5),
        ("yes", True),
        ("null", None),
    ],
)
def test_what_a_value_means(text, value):
    assert parsed(text) == value


def test_what_is_no_file_or_too_large(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * 2_000_000)
    for name, problem in (("pipe.yaml", "is no regular file"), ("large.yaml", "2,000,000 bytes")):
        with pytest.raises(ConfigError, match=problem):
            load_recipe(tmp_path / name)
