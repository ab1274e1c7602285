import pytest

from edgetl.report.words import file_size, milliseconds, percent, points, probability_difference, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (percent(0.98524), "98.52 %"),
        (percent(1.0, 1), "100.0 %"),
        (points(0.0037), "0.37"),
        (points(-0.0037), "−0.37"),
        (points(-1e-9), "0.00"),
        (milliseconds(0.04567), "0.046 ms"),
        (milliseconds(1.2345), "1.23 ms"),
        (milliseconds(99.96), "100 ms"),
        (milliseconds(1234.5), "1234 ms"),
        (file_size(999), "999 B"),
        (file_size(12_345), "12.3 kB"),
        (file_size(999_999), "1.00 MB"),
        (file_size(94_451_239), "94.5 MB"),
        (probability_difference(0), "0"),
        (probability_difference(1.23e-6), "1.2e-6"),
        (probability_difference(0.2134), "0.21"),
        (seconds(3.24), "3.2 s"),
        (seconds(754), "12 min 34 s"),
        (seconds(7500), "2 h 05 min"),
    ],
)
def test_numbers_read_well(text, expected):
    assert text.replace("\u202f", " ") == expected
