"""Read the reports that stages left in a run folder, and check them against their schemas."""

import json
from typing import Any

from edgetl.runs.folder import RunFolder
from edgetl.runs.reports import Part, problem_in

__all__ = ["read_lines", "read_report"]


def read_report(folder: RunFolder, name: str, version: int, schema: type[Part]) -> dict[str, Any] | None:
    """What a stage's report holds; None if there is no report.

    Args:
        folder: The run.
        name: The report's file.
        version: The schema version that this edgetl reads.
        schema: What it must hold.

    Raises:
        DamagedFile: It is gone, was changed, is from another version of edgetl, or does not fit the schema.
    """
    if name not in folder.manifest["files"]:
        return None
    data = folder.read_json(name)
    found = data.get("schema_version")
    problem = f"schema version {found}, this edgetl reads {version}" if found != version else ""
    if problem := problem or problem_in(schema, data):
        raise folder.damaged(name, problem)
    return data


def read_lines(folder: RunFolder, name: str, schema: type[Part]) -> list[dict[str, Any]]:
    """What a stage's file of JSON lines holds; an empty list if there is no file.

    Args:
        folder: The run.
        name: The file.
        schema: What each line must hold.

    Raises:
        DamagedFile: It is gone, was changed, or does not fit the schema.
    """
    if name not in folder.manifest["files"]:
        return []
    found: list[dict[str, Any]] = []
    for number, line in enumerate(folder.file(name).read_bytes().splitlines(), start=1):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as cause:
            raise folder.damaged(name, f"line {number} is not JSON: {cause}") from cause
        if problem := problem_in(schema, data):
            raise folder.damaged(name, f"line {number}, {problem}")
        found.append(data)
    return found
