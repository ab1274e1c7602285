"""What can go wrong for a user, each with its exit code.

```text
EdgetlError                 exit 2
├── ConfigError             a recipe, flag or target says something impossible
├── DataError               the image folder cannot be used as it is
├── ModelError              no such model, or weights that do not fit it
├── RunFolderError          a run folder is missing, foreign, damaged or newer
│   └── DamagedFile         a file of a run is not what its stage wrote
├── AlreadyInteger          an artifact that was to be quantized is quantized
├── ProofFailed             exit 1: what was exported is not what was trained
├── ProofUndecided          exit 3: the test images are too few to tell
├── EnvironmentFault        exit 4: the machine lacks something
│   ├── MissingExtra        an optional library is not installed
│   ├── WeightsUnavailable  pretrained weights cannot be had
│   ├── StorageFault        the disk is full, read-only or unreadable
│   └── RunnerFailed        the process that runs a model refused or died
```
"""

import errno
from pathlib import Path
from typing import ClassVar

__all__ = [
    "AlreadyInteger",
    "ConfigError",
    "DamagedFile",
    "DataError",
    "EdgetlError",
    "EnvironmentFault",
    "MissingExtra",
    "ModelError",
    "ProofFailed",
    "ProofUndecided",
    "RunFolderError",
    "RunnerFailed",
    "StorageFault",
    "WeightsUnavailable",
    "is_storage_fault",
]


class EdgetlError(Exception):
    """Base of all errors a user can act on; its text is one line: place, problem, cure."""

    exit_code: ClassVar[int] = 2


class ConfigError(EdgetlError, ValueError):
    """A recipe, flag or target file says something impossible."""

    def __init__(self, field: str, problem: str, *, hint: str = "") -> None:
        super().__init__(f"{field}: {problem}." + (f" {hint}" if hint else ""))
        self.field = field


class DataError(EdgetlError, ValueError):
    """The image folder cannot be used as it is."""


class ModelError(EdgetlError, ValueError):
    """No such model, or weights that do not fit it."""


class RunFolderError(EdgetlError):
    """A run folder is missing, holds something else, is damaged or was written by a newer edgetl."""


class DamagedFile(RunFolderError):
    """A file of a run is gone, or is not what its stage wrote."""


class ProofFailed(EdgetlError):
    """An artifact does not reproduce what was trained."""

    exit_code = 1


class ProofUndecided(EdgetlError):
    """The test images are too few to tell whether an artifact reproduces what was trained."""

    exit_code = 3


class AlreadyInteger(EdgetlError):
    """An artifact that was to be quantized is quantized."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file}: computes with integers already. Quantize the float one: 'edgetl export' writes it")


class EnvironmentFault(EdgetlError):
    """The machine lacks something."""

    exit_code = 4


class MissingExtra(EnvironmentFault, ImportError):
    """An optional library is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed. Run: pip install 'edgetl[{extra}]'")
        self.extra = extra


class WeightsUnavailable(EnvironmentFault):
    """Pretrained weights cannot be had on this machine."""


class StorageFault(EnvironmentFault):
    """The disk is full, read-only or not ours to write."""

    def __init__(self, path: Path | str, cause: OSError, free_bytes: int) -> None:
        super().__init__(f"{path}: {_STORAGE[cause.errno or 0].format(free=f'{free_bytes:,}')}")


class RunnerFailed(EnvironmentFault):
    """The process that runs a model refused, or died."""


_STORAGE = {
    errno.ENOSPC: "no space left on the device ({free} bytes free). Free some, or choose another place with --out.",
    errno.EDQUOT: "the disk quota is used up. Free some space, or choose another place with --out.",
    errno.EFBIG: "the file grew past the allowed size. Raise the limit (ulimit -f), or choose another place.",
    errno.EROFS: "the file system is read-only. Choose another place with --out.",
    errno.EACCES: "permission denied. Change the permissions, or choose another place with --out.",
    errno.ENOTDIR: "a part of this path is a file, not a folder. Choose another place with --out.",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one with --out.",
    errno.EPERM: "operation not permitted. Change the permissions, or choose another place with --out.",
}


def is_storage_fault(cause: BaseException) -> bool:
    """Tell whether `cause` is a fault of the disk rather than a bug of ours."""
    return isinstance(cause, OSError) and cause.errno in _STORAGE
