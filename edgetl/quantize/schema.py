"""The receipt's file: its name, the version of its content, and what it says of each file, for readers without the
libraries that make it."""

from typing import Any

from edgetl.errors import RunFolderError
from edgetl.runs.folder import RunFolder
from edgetl.runs.verdict import Limits

__all__ = ["RECEIPT_FILE", "RECEIPT_SCHEMA", "read_receipt", "shortfalls_of"]

RECEIPT_FILE = "quantize.json"
RECEIPT_SCHEMA = 3


def read_receipt(folder: RunFolder) -> dict[str, Any] | None:
    """A run's receipt, None if it was not quantized.

    Raises:
        RunFolderError: It is damaged, or another edgetl's.
    """
    if RECEIPT_FILE not in folder.manifest["files"]:
        return None
    receipt = folder.read_json(RECEIPT_FILE)
    if receipt["schema_version"] != RECEIPT_SCHEMA:
        file = folder.path / RECEIPT_FILE
        raise RunFolderError(f"{file}: written by another version of edgetl. Run: edgetl quantize {folder.path}")
    return receipt


def shortfalls_of(folder: RunFolder, limits: Limits) -> dict[str, list[str]]:
    """What is out of the limits on the validation images, by file; a proof on other images may not be silent about it.

    Raises:
        RunFolderError: The receipt is damaged, or another edgetl's.
    """
    receipt = read_receipt(folder) or {"kept": {}}
    kept = {file: each for file, each in receipt["kept"].items() if each}
    return {file: limits.failures(each["drop"], each["flips"]) for file, each in kept.items()}
