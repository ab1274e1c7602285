"""The part that runs on a device: predict, time and profile one artifact, without the rest of edgetl.

Needs Python 3.9, NumPy, Pillow and one runtime. It is also a distribution of its own, `edgetl-runner`, imported as
`edgetl_runner`. Its command line prints raw samples and facts as JSON; statistics and verdicts are the host's.
`python -m edgetl.runner --help` shows its commands.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
"""Also edgetl's: both are built from one tree."""
