"""The measurements that the reasons are found from, and what a reason is."""

from collections.abc import Iterable
from dataclasses import dataclass

from edgetl.runner.operators import Operator

__all__ = ["ALIKE", "Case", "Finding", "Machine", "Measured"]

ALIKE = 0.03
"""Times that differ by less than this fraction count as equal; two processes that time one file differ by as much."""

_DOT_PRODUCTS = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")


@dataclass(frozen=True)
class Measured:
    """How one artifact ran on this machine: its median with the case's threads, its operators with one thread."""

    file: str
    precision: str
    p50_ms: float
    operators: tuple[Operator, ...]
    timed: bool
    """Whether the runtime reported times by operator."""

    runs: int
    """Number of runs that the operators' seconds are summed over."""

    def milliseconds(self, operators: Iterable[Operator] | None = None) -> float:
        """Time that one inference spends in some of its operators, or in all."""
        chosen = self.operators if operators is None else operators
        return sum(each.seconds or 0.0 for each in chosen) * 1e3 / self.runs


@dataclass(frozen=True)
class Machine:
    """The machine that was measured."""

    cpu: str
    architecture: str
    instruction_sets: tuple[str, ...]

    @property
    def dot_product(self) -> str:
        """Its instruction sets that multiply and add 8-bit integers in one step, as text; empty if it has none."""
        return ", ".join(name for name in _DOT_PRODUCTS if name in self.instruction_sets)


@dataclass(frozen=True)
class Case:
    """A float and an integer artifact of one format, measured alike."""

    before: Measured
    """The float one."""

    after: Measured
    """The integer one."""

    threads: int
    one_thread_ms: tuple[float, float] | None
    """Medians of both with one thread; None if `threads` is already 1."""

    physical_cores: int | None
    """Of this machine; None where the system does not say."""

    float_layers: int | None = None
    """Layers of this format that the quantizer had to leave in float; None if it did not say."""

    @property
    def best_ms(self) -> tuple[float, float]:
        """Medians of both, each with the number of threads that suits it: small networks are faster with one."""
        before_ms, after_ms = self.one_thread_ms or (self.before.p50_ms, self.after.p50_ms)
        return min(self.before.p50_ms, before_ms), min(self.after.p50_ms, after_ms)

    @property
    def timed(self) -> bool:
        """Whether operators of both can be compared."""
        return self.before.timed and self.after.timed


@dataclass(frozen=True)
class Finding:
    """One reason."""

    kind: str
    what: str
    share: float | None
    """Fraction of the integer artifact's profiled time; None if the reason has no time of its own."""

    milliseconds: float | None
    """Time per inference; None if `share` is None."""

    advice: str
