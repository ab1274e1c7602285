"""The ladder: rung after rung, each format is written, run and judged until it is settled."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from edgetl.quantize.attempts import Contender, Trials
from edgetl.quantize.family import Family
from edgetl.quantize.formats import Quantizer
from edgetl.quantize.rungs import RUNGS, Climb, Draft
from edgetl.recipe.fields import Rung
from edgetl.runner.contract import Contract

__all__ = ["Ladder", "Open"]


@dataclass
class Open(Contender):
    """A format that climbs."""

    quantizer: Quantizer
    family: Family


class Ladder:
    """Takes formats up the rungs.

    Args:
        climb: Input of the rungs.
        trials: Makes and judges files.
        contract: Is embedded in the files.
    """

    def __init__(self, climb: Climb, trials: Trials, contract: Contract) -> None:
        self._climb, self._trials, self._contract = climb, trials, contract

    def climb(self, formats: Iterable[Open]) -> None:
        """Take each format up until it is settled or no rung is left; its best file is kept."""
        formats = list(formats)
        for rung in self._climb.config.rungs:
            families = {id(each.family): each.family for each in formats if not each.settled}
            for family in families.values():
                climbing = [each for each in formats if each.family is family and not each.settled]
                for draft in RUNGS[rung](self._climb, family):
                    for each in climbing:
                        self._try(rung, draft, each)
                    climbing = [each for each in climbing if not each.settled]
                    if not climbing:
                        break

    def _try(self, rung: Rung, draft: Draft, each: Open) -> None:
        # If the first rung finds nothing better, the plan that it started from is written.
        plan = draft.plan or (None if each.best else each.family.plan)
        write = partial(each.quantizer.write, plan, self._contract) if plan else None
        self._trials.attempt(each, rung, draft.note, write, (*each.family.in_float, *draft.in_float))
