"""The receipt: what each rung cost and gave in each format, and what to think of it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgetl.compress.judge import Judge, Limits
from edgetl.compress.ladder import Open
from edgetl.compress.points import float_operators
from edgetl.compress.sensitivity import Sensitivity
from edgetl.compress.spread import Spread

__all__ = ["RECEIPT_FILE", "RECEIPT_SCHEMA", "receipt", "shortfall"]

RECEIPT_SCHEMA = 1
RECEIPT_FILE = "quantize.json"


def receipt(
    judge: Judge, limits: Limits, formats: Sequence[Open], spread: Spread, warnings: Sequence[str]
) -> dict[str, Any]:
    """Put together what `quantize.json` keeps.

    Args:
        judge: What judged.
        limits: The bounds.
        formats: What climbed.
        spread: Of the calibration.
        warnings: What else the user should know.
    """
    families = {id(each.family): each.family for each in formats}
    sensitivities = next((each.sensitivities for each in families.values() if each.sensitivities), None)
    return {
        "schema_version": RECEIPT_SCHEMA,
        "validation_images": judge.images,
        "reference_top1": judge.reference_top1,
        "limits": asdict(limits),
        "attempts": [attempt.to_dict() for each in formats for attempt in each.attempts],
        "kept": {each.name: _kept(each) for each in formats},
        "calibration_spread": spread.to_dict(),
        "dead_layers": _dead(formats),
        "sensitivity": None if sensitivities is None else [_plain(each) for each in sensitivities],
        "warnings": [*warnings, *_warnings(limits, formats, spread)],
    }


def shortfall(formats: Sequence[Open], limits: Limits) -> str:
    """What is out of bounds at the end of the ladder, in one line; empty if nothing is."""
    return "; ".join(_short(each, limits) for each in formats if not each.passed)


def _short(each: Open, limits: Limits) -> str:
    if each.best is None or each.best.judgement is None:
        return f"{each.name}: no rung gave a file that runs ({each.attempts[-1].problem})"
    found = each.best.judgement.score
    lost = f"changes top-1 by {-100 * found.drop:+.2f} points (allowed: {-100 * limits.max_drop:+.2f})"
    if limits.max_flips < 1:
        lost += f" and {found.flips:.2%} of the answers (allowed: {limits.max_flips:.2%})"
    return f"{each.file.name}: no rung is inside the bounds, the best one, '{each.best.rung}', {lost}"


def _kept(each: Open) -> dict[str, Any] | None:
    if each.best is None:
        return None
    best = each.best
    return {"file": each.file.name, "rung": best.rung, "note": best.note, "passed": best.passed}


def _dead(formats: Sequence[Open]) -> list[str]:
    return sorted({name for each in formats for name in each.family.unscaled.dead})


def _plain(each: Sensitivity) -> dict[str, Any]:
    return {"name": each.unit.name, "alone": asdict(each.alone), "without": asdict(each.without)}


def _warnings(limits: Limits, formats: Sequence[Open], spread: Spread) -> list[str]:
    found = []
    for each in formats:
        if each.family.in_float:
            names = ", ".join(sorted(each.family.in_float))
            found.append(f"{each.file.name}: stay in float, as the file computes them in another form: {names}")
    if operators := float_operators(formats[0].family.planner.traced):
        counted = ", ".join(f"{count} {name}" for name, count in operators.most_common())
        found.append(f"Operators that have no integer form stay in float: {counted}.")
    if dead := _dead(formats):
        found.append(f"Dead layers, whose output no calibration image changes: {', '.join(dead)}")
    if spread.decides(limits.max_drop):
        found.append(
            f"The choice of calibration images decides the accuracy: three thirds of them differ by"
            f" {100 * spread.top1:.2f} points. Do not trust it; raise quantize.calibration_images."
        )
    return found
