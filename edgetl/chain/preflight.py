"""Find out, before hours of training, what would stop the run at the end."""

from collections.abc import Sequence
from pathlib import Path

from edgetl.chain.plan import AUTO, PlannedRun
from edgetl.chain.stages import STAGES, extras_of
from edgetl.devices.profiles import find_target
from edgetl.errors import RunFolderError
from edgetl.export.formats import chosen_formats
from edgetl.recipe.fields import Recipe
from edgetl.recipe.networks import ModelConfig
from edgetl.runs.folder import RunFolder
from edgetl.runs.installed import require
from edgetl.runs.reporter import Reporter

__all__ = ["check", "check_installed"]


def check(plan: Sequence[PlannedRun], reporter: Reporter, *, force: bool = False) -> None:
    """Make sure that a plan can be run to its end, as far as that can be known.

    Args:
        plan: What is to be made.
        reporter: Receives messages about slow steps.
        force: Whether networks of other models, or ones trained on other data, may be overwritten.

    Raises:
        EdgetlError: Something is missing, or is not what the plan needs; nothing was written.
    """
    folders = [(run, RunFolder.prepare(run.folder)) for run in plan if run.stages]
    for run, _ in folders:
        check_installed(run)
    training = [(run, folder) for run, folder in folders if run.kind in run.stages]
    untrained = [run for run, folder in training if not _was_trained(run, folder)]
    for run in untrained:
        _check_names(run, plan)
    _look_at_data(training, reporter)
    for run, folder in training:
        if not force:
            _check_overwriting(run, folder)
    for run in untrained:
        _check_network(run, plan, reporter)


def check_installed(run: PlannedRun) -> None:
    """Check that the extras a run needs are installed.

    Raises:
        MissingExtra: One is not; the message says how to install it.
    """
    formats = chosen_formats(run.recipe.export, find_target(run.recipe.target))
    for name in run.stages:
        for extra in extras_of(STAGES[name], formats):
            require(extra)
    if run.kind in run.stages and run.network.strategy == "lora":
        require("lora")


def _look_at_data(runs: Sequence[tuple[PlannedRun, RunFolder]], reporter: Reporter) -> None:
    """Say what images are that no run has read yet, before anything else is looked for.

    Raises:
        DataError: A folder is missing, or its classes are ambiguous.
    """
    from edgetl.data.stage import fingerprint, layout, unlabelled_stamps

    for run, _ in runs:
        unlabelled_stamps(run.recipe)
    new = [run for run, folder in runs if (folder.stage("data") or {}).get("fingerprint") != fingerprint(run.recipe)]
    for sentence in filter(None, dict.fromkeys(layout(run.recipe) for run in new)):
        reporter.say(sentence)


def _check_names(run: PlannedRun, plan: Sequence[PlannedRun]) -> None:
    """Make sure that there are such networks and files, before the weights of another one are looked for."""
    from edgetl.zoo.names import resolve
    from edgetl.zoo.weights import weights_file

    if run.network.model != AUTO:
        resolve(run.network.model)
        if not _is_made_by(plan, run.network):
            weights_file(run.network.weights)


def _check_network(run: PlannedRun, plan: Sequence[PlannedRun], reporter: Reporter) -> None:
    from edgetl.train.checking import check_strategy
    from edgetl.zoo.build import check_obtainable

    if run.network.model == AUTO:  # a dry run: nobody knows yet which network it will be
        return
    if not _is_made_by(plan, run.network):
        check_obtainable(run.network, reporter)
        check_strategy(run.network, run.section, _image_size(run.recipe, run.section))
    if "prune" in run.stages:
        from edgetl.prune.eligible import check_prunable

        check_prunable(run.recipe, find_target(run.recipe.target))


def _image_size(recipe: Recipe, section: str) -> int | str:
    own = recipe.student.image_size if section == "student" else "auto"
    return recipe.data.image_size if own == "auto" else own


def _is_made_by(plan: Sequence[PlannedRun], model: ModelConfig) -> bool:
    """Whether an earlier run of the plan makes the weights that a network starts from."""
    return Path(model.weights).parent in {run.folder for run in plan if run.stages}


def _was_trained(run: PlannedRun, folder: RunFolder) -> bool:
    """Whether this very network was trained there, so that its weights must have been obtainable."""
    record = folder.stage(run.kind)
    return record is not None and record["recipe"].get(run.section) == run.network.model_dump(mode="json")


def _check_overwriting(run: PlannedRun, folder: RunFolder) -> None:
    """Refuse to overwrite a trained network with a different one."""
    if not folder.is_trained or folder.role != run.role:  # another role is refused later, even with --force
        return
    if other := _other_network(run, folder):
        problem = f"holds a trained {other}, not {run.network.model}"
    elif other := _other_data(run, folder):
        problem = f"holds a network trained on {other}, not on {run.recipe.data.path}"
    else:
        return
    raise RunFolderError(f"{run.folder}: {problem}. Choose another place with --out, or overwrite it with --force")


def _other_network(run: PlannedRun, folder: RunFolder) -> str:
    """Name of the network that was trained there, if it is another one."""
    wanted = run.network.model
    made = str((folder.stage(run.kind) or {}).get("recipe", {}).get(run.section, {}).get("model", wanted))
    return "" if made == wanted else made


def _other_data(run: PlannedRun, folder: RunFolder) -> str:
    """The data that it was trained on, if neither its path nor its fingerprint is that of the wanted data."""
    from edgetl.data.stage import fingerprint

    record = folder.stage("data") or {}
    made = str(record.get("recipe", {}).get("data", {}).get("path", run.recipe.data.path))
    if Path(made).expanduser().resolve() == Path(run.recipe.data.path).expanduser().resolve():
        return ""
    return "" if record.get("fingerprint") == fingerprint(run.recipe) else made
