"""What a run's benchmark says, as far as it is of the files that are there."""

from typing import Any

from edgetl.runs.folder import RunFolder

__all__ = ["BENCH_FILE", "BENCH_SCHEMA", "read_timings"]

BENCH_SCHEMA = 1
BENCH_FILE = "bench.json"


def read_timings(folder: RunFolder) -> dict[str, Any] | None:
    """The benchmark's report without the files that are not what was timed any more; None if nothing was timed.

    Raises:
        DamagedFile: The report itself was changed.
    """
    if BENCH_FILE not in folder.manifest["files"]:
        return None
    whole = {artifact.file for artifact in folder.artifacts() if not folder.damage_of(artifact)}
    report = folder.read_json(BENCH_FILE)
    return {**report, "artifacts": [each for each in report["artifacts"] if each["file"] in whole]}
