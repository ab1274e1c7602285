"""Times as the command line takes them."""

import pytest

from edgetl.errors import ConfigError
from edgetl.recipe.presets import read_minutes


@pytest.mark.parametrize(("text", "minutes"), [("90s", 1.5), ("5m", 5), ("1h30m", 90), ("2h", 120), ("1m30s", 1.5)])
def test_a_time_is_read_in_minutes(text, minutes):
    assert read_minutes(text) == minutes


@pytest.mark.parametrize("text", ["", "5", "m", "0m", "-5m", "1.5h", "30m1h", "5 minutes"])
def test_another_text_is_refused_with_examples(text):
    with pytest.raises(ConfigError, match=r"^--time: expected a time such as 90s, 5m or 1h30m, got "):
        read_minutes(text)
