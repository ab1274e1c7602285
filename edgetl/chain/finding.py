"""Find a learning rate in a run folder, without a change to what was made there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgetl.chain.choosing import settled
from edgetl.chain.plan import plan_finetuning
from edgetl.chain.preflight import check
from edgetl.chain.running import execute, setting_of
from edgetl.chain.stages import STAGES
from edgetl.errors import ConfigError, RunFolderError
from edgetl.recipe.fields import Recipe
from edgetl.recipe.scope import narrowed
from edgetl.runs.files import write_atomic
from edgetl.runs.installed import require
from edgetl.runs.lock import hold
from edgetl.runs.processes import launched
from edgetl.runs.reporter import Reporter

__all__ = ["RATES_FILE", "RATES_PLOT", "run_find_rate"]

RATES_FILE, RATES_PLOT = "find-rate.json", "find-rate.svg"
_SCHEMA = 1


def run_find_rate(recipe: Recipe, out: Path, reporter: Reporter, *, force: bool = False) -> dict[str, Any]:
    """Test the learning rates of `recipe.teacher`; writes the numbers and their plot beside the run's own files.

    The data stage runs first, if it has to.

    Args:
        recipe: What would be trained.
        out: The run folder.
        reporter: Receives the progress.
        force: Whether the folder may hold a network of another model.

    Returns:
        What was found: `suggested` (None if nothing is), `reason`, `rates`, `losses`, `smoothed`.

    Raises:
        RunFolderError: A network was trained there on images that have changed since.
        EdgetlError: Anything else a user can act on.
    """
    require("report")
    if launched().count > 1:
        raise ConfigError("--find-rate", "several processes were started, and one is enough")
    (planned,) = settled(recipe, out, reporter, lambda known: plan_finetuning(known, out))
    check([planned], reporter, force=force)
    setting = setting_of(planned, reporter)
    folder, data = setting.context.folder, STAGES["data"]
    if folder.is_trained and not folder.is_current("data", setting.inputs_of(data)):
        raise RunFolderError(f"{out}: its images have changed since it was trained. Choose another place with --out")
    execute([replace(planned, stages=("data",))], reporter)
    setting, stage = setting_of(planned, reporter), STAGES["finetune"]
    own = replace(
        setting.context,
        inputs=setting.inputs_of(stage),
        recipe=narrowed(planned.recipe, stage.recipe),
        out=setting.context.folder.path,
    )
    from edgetl.report.rates import rates_svg
    from edgetl.train.finding import find_rate

    with hold(out):
        test = find_rate(own)
        found, svg = test.to_dict(), rates_svg(test.rates, test.relative, test.smoothed, test.suggested)
        write_atomic(out / RATES_FILE, json.dumps({"schema_version": _SCHEMA, **found}, indent=1) + "\n")
        write_atomic(out / RATES_PLOT, svg)
    return found
