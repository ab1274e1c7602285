"""The tables that a person reads at the end of a command."""

import json

import pytest
import report_context

from edgetl.cli.results import print_run

MEASURED = ("verify.json", "bench.json")


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    """Print a run as a terminal of some columns gets it, or a log (None): `lines = printed(120)`."""

    def print_it(columns, without=(), **changed):
        context = report_context.made(tmp_path, ("cat", "dog"), without)
        for name, facts in changed.items():
            file = context.folder.path / f"{name}.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | facts))
        folder = report_context.context_of(context.folder.path).folder
        monkeypatch.delenv("COLUMNS", raising=False)
        if columns:
            monkeypatch.setenv("COLUMNS", str(columns))
        print_run(folder)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return print_it


def table(lines):
    """The lines before the first sentence."""
    return [line for line in lines if not line.startswith(("Timed on", "No file", "Run:", "Network:", "Careful:"))]


@pytest.mark.parametrize("columns", [200, 100, None])
def test_each_accuracy_on_few_images_has_its_interval_beside_it(printed, columns):
    lines = printed(columns)
    assert "model.w8a8.onnx    80.0%  49.0 to 94.3%   90.0%  2.5e-01  1.23   1.73  0.00  equal" in lines
    assert "model.fp32.onnx    90.0%  59.6 to 98.2%   90.0%  1.2e-06  1.51   2.01  0.00  equal" in lines


def test_accuracies_on_many_images_have_no_such_column(printed):
    lines = printed(200, verify={"test_images": 2000})
    assert "model.w8a8.onnx    80.0%   90.0%  2.5e-01  1.23   1.73  0.00  equal" in lines
    assert not any("interval" in line for line in lines)


def test_on_a_narrow_terminal_no_name_or_number_is_broken(printed):
    lines = printed(80)
    assert max(map(len, table(lines))) <= 80
    assert "model.w8a8.onnx    80.0%  49.0 to       90.0%  2.5e-01  1.23   1.73  0.00  equal" in lines
    assert " " * 26 + "94.3%" in lines


def test_where_not_even_the_titles_fit_each_file_has_lines_of_its_own(printed):
    lines = printed(60)
    assert max(map(len, table(lines))) <= 60
    start = lines.index("model.w8a8.onnx")
    assert lines[start + 1 : start + 4] == [
        "  top-1         80.0%",
        "  95% interval  49.0 to 94.3%",
        "  agrees        90.0%",
    ]


@pytest.mark.parametrize("columns", [200, None])
def test_the_rungs_of_the_ladder_have_intervals_and_a_hundred_letters_at_most(printed, columns):
    lines = table(printed(columns, without=MEASURED))
    assert max(map(len, lines)) <= 100
    (told,) = [line for line in lines if line.startswith("onnx w8a8: rounding")]
    assert told.endswith("88.0%  86.1 to 89.7%  2.13 ± 0.37  3.40%    1.26  2.61  OUTSIDE")


def test_rungs_judged_on_many_images_have_no_such_column(printed):
    lines = printed(None, without=MEASURED, quantize={"validation_images": 2000})
    assert any("88.0%  2.13 ± 0.37" in line for line in lines)
