"""What the command line and Python programs call: make a student, fine-tune a network, run a verb on a run."""

from collections.abc import Iterable
from pathlib import Path

from edgetl.chain.choosing import settled
from edgetl.chain.plan import plan, plan_finetuning, plan_verb
from edgetl.chain.preflight import check
from edgetl.chain.running import execute
from edgetl.chain.stages import CHAIN, STAGES
from edgetl.errors import ConfigError
from edgetl.recipe.fields import Recipe
from edgetl.runs.folder import RunFolder
from edgetl.runs.reporter import Reporter

__all__ = ["check_settings", "default_out", "run", "run_finetuning", "run_verb", "stages_of_verb"]


def run(
    recipe: Recipe,
    out: Path | str | None = None,
    *,
    stages: Iterable[str] = CHAIN,
    reporter: Reporter | None = None,
    force: bool = False,
) -> RunFolder:
    """Make a student: teacher, distillation, files in every format, integers, proof, latency, report.

    Stages whose inputs have not changed are skipped, so an interrupted run continues where it stopped.

    Args:
        recipe: What to make; `Recipe.load` reads one.
        out: The run folder; `runs/DATA-MODEL` by default.
        stages: Names from `edgetl.chain.stages.CHAIN`; the results of earlier stages are used as they are.
        reporter: Receives the progress; silent by default.
        force: Whether a network of another model, or one trained on other data, may be overwritten.

    Returns:
        The student's run folder.

    Raises:
        ProofFailed: A file does not match what was trained; all files and reports are kept for inspection.
        ProofUndecided: The test images are too few to tell, and no file failed.
        EdgetlError: Anything else a user can act on; nothing half-written is left.
    """
    place = Path(out) if out is not None else default_out(recipe, recipe.student.model)
    heard, wanted = reporter or Reporter(), tuple(stages)
    planned = settled(recipe, place, heard, lambda known: plan(known, place, wanted))
    check(planned, heard, force=force)
    return execute(planned, heard)


def run_finetuning(recipe: Recipe, out: Path, reporter: Reporter, *, force: bool = False) -> RunFolder:
    """Fine-tune `recipe.teacher` in a run folder of its own.

    Raises:
        ConfigError: The recipe asks for pruning, which is for students.
        EdgetlError: Anything else a user can act on.
    """
    planned = settled(recipe, out, reporter, lambda known: plan_finetuning(known, out))
    check(planned, reporter, force=force)
    return execute(planned, reporter)


def run_verb(
    verb: str, recipe: Recipe, folder: RunFolder, reporter: Reporter, *, then: tuple[str, ...] = ()
) -> RunFolder:
    """Run one stage in an existing run, with the stages that must run with it.

    Args:
        verb: 'export', 'quantize', 'verify', 'bench', 'explain' or 'report'.
        recipe: The run's own recipe, with the user's changes.
        folder: The run.
        reporter: Receives the progress.
        then: Further stages, if they have to run.

    Raises:
        EdgetlError: Anything the user can act on.
    """
    planned = plan_verb(folder, recipe, (*stages_of_verb(verb, folder), *then))
    check(planned, reporter)
    return execute(planned, reporter, again={verb} if STAGES[verb].anew else ())


def stages_of_verb(verb: str, folder: RunFolder) -> tuple[str, ...]:
    """The stages that a verb runs: after `export`, quantize again if the run was; update the report if there is one."""
    before = {"quantize": ("export",)}.get(verb, ())
    after = ("quantize",) if verb == "export" and folder.stage("quantize") else ()
    page = ("report",) if verb in STAGES["report"].reads and folder.stage("report") else ()
    return (*before, verb, *after, *page)


def default_out(recipe: Recipe, model: str) -> Path:
    """The default run folder: `runs/DATA-MODEL`."""
    name = f"{Path(recipe.data.path).resolve().name}-{model}"
    return Path("runs") / name.replace(":", "-").replace("/", "-")


def check_settings(verb: str, folder: RunFolder, names: Iterable[str], then: tuple[str, ...] = ()) -> None:
    """Make sure that a verb reads the options set for it: stages that do not run again keep their old values.

    Raises:
        ConfigError: It does not read one of them.
    """
    stages = (*stages_of_verb(verb, folder), *then)
    read = {part for stage in stages for part in STAGES[stage].recipe} | {"target"}
    for name in names:
        section = name.partition(".")[0]
        if not {name, section} & read:
            known = ", ".join(STAGES[verb].recipe)
            hint = f"It reads {known or 'nothing of the recipe'}. To change the rest of the recipe, use 'edgetl run'."
            raise ConfigError(name, f"'edgetl {verb}' does not read it", hint=hint)
