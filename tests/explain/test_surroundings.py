"""What the machine and the threads have to do with it."""

import pytest
from cases import PLAIN, VNNI, case

from edgetl.devices.profiles import find_target
from edgetl.explain.surroundings import about_machine, about_threads


def test_a_cpu_without_dot_product_is_told_and_no_more_on_its_own_kind():
    (found,) = about_machine(PLAIN, find_target("linux-x86"))
    assert found.what.startswith("This CPU (Old CPU) has no int8 dot product")
    assert (found.kind, found.share) == ("cpu", None)


@pytest.mark.parametrize(
    ("machine", "target", "what", "hint"),
    [
        (
            VNNI,
            "linux-x86",
            "not from the target, Linux PC or server (x86_64, no int8 dot product)",
            "to gain less there",
        ),
        (
            VNNI,
            "rpi4",
            "not from the target, Raspberry Pi 4 (64-bit) (aarch64, no int8 dot product)",
            "to gain less there",
        ),
        (VNNI, "rpi5", "(aarch64, int8 dot product)", "Other kernels run there"),
        (PLAIN, "rpi5", "this machine (x86_64, no int8 dot product)", "to gain more there"),
    ],
)
def test_a_target_that_this_machine_cannot_stand_for_is_named(machine, target, what, hint):
    found = about_machine(machine, find_target(target))[-1]
    assert found.kind == "target"
    assert what in found.what
    assert hint in found.advice


def test_a_machine_like_the_target_needs_no_word():
    target = find_target("linux-x86").model_copy(update={"int8_dot_product": True})
    assert about_machine(VNNI, target) == []


def test_more_threads_than_cores_are_told_first():
    found = about_threads(case([], [], threads=4, physical_cores=2, one_thread_ms=(2.0, 1.0)))
    assert found.what == "4 threads share 2 physical cores."
    assert found.advice.endswith("--set bench.threads=2")


def test_threads_that_gain_nothing_are_advised_against():
    found = about_threads(case([], [], threads=2, one_thread_ms=(2.1, 1.01)))
    assert found.what == "One thread takes 1.01 ms for w8a8 and 2.1 ms for fp32; 2 threads take 1 ms and 2 ms."
    assert found.advice.endswith("--set bench.threads=1")


def test_threads_that_gain_are_left_alone():
    found = about_threads(case([], [], threads=2, physical_cores=None, one_thread_ms=(3.0, 1.7)))
    assert found.advice == "More threads gain a factor of 1.70; nothing to do."


def test_one_thread_is_just_said():
    assert about_threads(case([], [])).what == "One thread was used."
