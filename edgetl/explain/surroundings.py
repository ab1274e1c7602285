"""Reasons outside the files: the machine and the threads."""

from edgetl.devices.profiles import Target
from edgetl.explain.case import ALIKE, Case, Finding, Machine

__all__ = ["about_machine", "about_threads"]

_HINTS = {
    (True, False): "Expect integers to gain less there",
    (False, True): "Expect integers to gain more there",
}
"""By whether this machine and the target have an int8 dot product."""


def about_machine(machine: Machine, target: Target) -> list[Finding]:
    """Say what the machine's CPU lacks, and whether its times apply to the target."""
    return [*_cpu(machine), *_target(machine, target)]


def _cpu(machine: Machine) -> list[Finding]:
    if machine.dot_product:
        return []
    what = f"This CPU ({machine.cpu}) has no int8 dot product: an integer layer takes more steps, and gains less."
    advice = "A CPU with one gains more (AVX-VNNI; Armv8.2, as in a Raspberry Pi 5). Without one, compare the files."
    return [Finding("cpu", what, None, None, advice)]


def _target(machine: Machine, target: Target) -> list[Finding]:
    here, there = bool(machine.dot_product), target.int8_dot_product
    if machine.architecture == target.architecture and here == there:
        return []
    what = (
        f"All times are from this machine ({machine.architecture}, {_dot(here)}), not from the target, {target.title}"
        f" ({target.architecture}, {_dot(there)})."
    )
    hint = _HINTS.get((here, there), "Other kernels run there")
    advice = f"{hint}: time both files on the target with 'python -m edgetl_runner time FILE'."
    return [Finding("target", what, None, None, advice)]


def _dot(there: bool) -> str:
    return "int8 dot product" if there else "no int8 dot product"


def about_threads(case: Case) -> Finding:
    """Say whether several threads are worth it."""
    count, cores, before, after = case.threads, case.physical_cores, case.before, case.after
    if cores is not None and count > cores:
        advice = f"Two threads on one core wait for each other: --set bench.threads={cores}"
        return Finding("threads", f"{count} threads share {cores} physical cores.", None, None, advice)
    if case.one_thread_ms is None:
        return Finding("threads", "One thread was used.", None, None, "To use more: --set bench.threads=N")
    before_ms, after_ms = case.one_thread_ms
    what = (
        f"One thread takes {after_ms:.3g} ms for {after.precision} and {before_ms:.3g} ms for {before.precision};"
        f" {count} threads take {after.p50_ms:.3g} ms and {before.p50_ms:.3g} ms."
    )
    if after_ms < (1 + ALIKE) * after.p50_ms:
        advice = "More threads gain nothing for so small a network: --set bench.threads=1"
    else:
        advice = f"More threads gain a factor of {after_ms / after.p50_ms:.2f}; nothing to do."
    return Finding("threads", what, None, None, advice)
