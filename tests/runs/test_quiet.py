"""What libraries say inside `quiet()`, in a process of its own: pytest has replaced the streams of this one."""

import subprocess
import sys

import pytest

_NOISE = """
import logging, os, sys, warnings
logging.basicConfig(level=logging.INFO)
from edgetl.runs.quiet import quiet

def noise(word):
    print(word, "printed")
    print(word, "printed to stderr", file=sys.stderr)
    os.write(1, f"{word} native\\n".encode())
    os.write(2, f"{word} native to stderr\\n".encode())
    os.system(f"echo {word} from a child")
    logging.getLogger("library").error("%s logged", word)
    warnings.warn(f"{word} warned", stacklevel=1)

"""


def python(body, *flags):
    command = [sys.executable, *flags, "-c", _NOISE + body]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_nothing_of_what_libraries_say_reaches_the_terminal():
    done = python("with quiet():\n    noise('inner')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_warning_is_no_error_inside_even_where_warnings_are():
    done = python("with quiet():\n    noise('inner')", "-W", "error::UserWarning")
    assert (done.returncode, done.stderr) == (0, "")


RESTORED = """
print("before")
try:
    with quiet():
        noise("inner")
        raise {exception}("stop")
except {exception}:
    pass
noise("outer")
"""


@pytest.mark.parametrize("exception", ["ValueError", "KeyboardInterrupt", "SystemExit"])
def test_everything_is_as_before_after_an_exception(exception):
    done = python(RESTORED.format(exception=exception))
    assert done.returncode == 0
    assert set(done.stdout.splitlines()) == {"before", "outer printed", "outer native", "outer from a child"}
    lines = done.stderr.splitlines()
    assert lines[:3] == ["outer printed to stderr", "outer native to stderr", "ERROR:library:outer logged"]
    assert "outer warned" in lines[3]
    assert "inner" not in done.stderr


def test_no_descriptor_is_lost():
    count = "len(os.listdir('/proc/self/fd'))"
    done = python(f"before = {count}\nfor _ in range(5):\n    with quiet():\n        pass\nprint({count} - before)")
    assert done.stdout == "0\n"


def test_it_nests():
    done = python("with quiet():\n    with quiet():\n        noise('a')\n    noise('b')\nprint('after')")
    assert (done.stdout, done.stderr) == ("after\n", "")


NOTED = """
try:
    with quiet():
        for line in range({lines}):
            print("line", line, "." * {width})
        os.write(2, b"the native reason\\n")
        raise RuntimeError("stop")
except RuntimeError as cause:
    sys.stdout.write("\\n".join(cause.__notes__))
"""


def test_an_exception_takes_the_last_lines_with_it():
    lines = python(NOTED.format(lines=30, width=3)).stdout.splitlines()
    assert len(lines) == 20
    assert "the native reason" in lines
    assert "line 29 ..." in lines
    assert "line 0 ..." not in lines


def test_the_last_lines_of_much_output_are_the_last():
    lines = python(NOTED.format(lines=30_000, width=100)).stdout.splitlines()
    assert len(lines) == 20
    assert any(line.startswith("line 29999 ") for line in lines)
