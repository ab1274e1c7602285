"""The receipt: the cost and the result of each rung in each format, with warnings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgetl.quantize.attempts import Contender, Trials
from edgetl.quantize.ladder import Open
from edgetl.quantize.points import float_operators
from edgetl.quantize.schema import RECEIPT_SCHEMA
from edgetl.quantize.sensitivity import Sensitivity
from edgetl.quantize.spread import Spread
from edgetl.recipe.fields import Format, Scheme
from edgetl.runs.verdict import Limits

__all__ = ["Refused", "receipt", "shortfall"]


@dataclass(frozen=True)
class Refused:
    """A scheme that is not written in a format."""

    format: Format
    precision: Scheme
    reason: str

    def __str__(self) -> str:
        return f"{self.format} {self.precision}: not written, since {self.reason}."


def receipt(
    trials: Trials,
    contenders: Sequence[Contender],
    refused: Sequence[Refused],
    spread: Spread | None,
    warnings: Sequence[str],
) -> dict[str, Any]:
    """Make the content of `quantize.json`.

    Args:
        trials: Judged the files.
        contenders: All files, made or only attempted.
        refused: Schemes that were not attempted.
        spread: Spread between calibrations; None if nothing climbed.
        warnings: Further warnings for the user.
    """
    climbed = [each for each in contenders if isinstance(each, Open)]
    sensitivities = next((each.family.sensitivities for each in climbed if each.family.sensitivities), None)
    told = [*warnings, *_warnings(climbed)]
    if spread and spread.decides(trials.limits.max_drop):
        told.append(
            f"The choice of calibration images decides the accuracy: three thirds of them differ by"
            f" {100 * spread.top1:.2f} points. Do not trust it; raise quantize.calibration_images."
        )
    return {
        "schema_version": RECEIPT_SCHEMA,
        "validation_images": trials.judge.images,
        "reference_top1": trials.judge.reference_top1,
        "limits": asdict(trials.limits),
        "attempts": [attempt.to_dict() for each in contenders for attempt in each.attempts],
        "kept": {each.file.name: _kept(each) for each in contenders},
        "refused": [asdict(each) for each in refused],
        "calibration_spread": spread.to_dict() if spread else None,
        "dead_layers": _dead(climbed),
        "sensitivity": None if sensitivities is None else [_plain(each) for each in sensitivities],
        "warnings": told,
    }


def shortfall(contenders: Sequence[Contender], limits: Limits) -> str:
    """The files outside the limits, in one line; empty if there are none."""
    return "; ".join(f"{each.file.name}: {_short(each, limits)}" for each in contenders if not each.passed)


def _short(each: Contender, limits: Limits) -> str:
    if each.best is None or each.best.judgement is None:
        return f"no rung gave a file that runs ({each.attempts[-1].problem})"
    found = each.best.judgement.score
    change = f"{-100 * found.drop:+.2f} ± {100 * found.drop_error:.2f} points"
    lost = f"changes top-1 by {change} (allowed: {-100 * limits.max_drop:+.2f})"
    if limits.max_flips < 1:
        lost += f" and {found.flips:.2%} of the answers (allowed: {limits.max_flips:.2%})"
    return f"no rung is inside the bounds on the validation images, the best one, '{each.best.rung}', {lost}"


def _kept(each: Contender) -> dict[str, Any] | None:
    if each.best is None or each.best.judgement is None:
        return None
    found = each.best.judgement.score
    told = {name: getattr(each.best, name) for name in ("rung", "note", "passed", "settled")}
    return {**told, "drop": found.drop, "flips": found.flips}


def _dead(formats: Sequence[Open]) -> list[str]:
    return sorted({name for each in formats for name in each.family.unscaled.dead})


def _plain(each: Sensitivity) -> dict[str, Any]:
    return {"name": each.unit.name, "alone": asdict(each.alone), "without": asdict(each.without)}


def _warnings(climbed: Sequence[Open]) -> list[str]:
    found = []
    for each in climbed:
        if each.family.in_float:
            names = ", ".join(sorted(each.family.in_float))
            found.append(f"{each.file.name}: stay in float, as the file computes them in another form: {names}")
    if climbed and (operators := float_operators(climbed[0].family.planner.traced)):
        counted = ", ".join(f"{count} {name}" for name, count in operators.most_common())
        found.append(f"Operators that have no integer form stay in float: {counted}.")
    if dead := _dead(climbed):
        found.append(f"Dead layers, whose output no calibration image changes: {', '.join(dead)}")
    return found
