"""Keep a benchmark's figures under `benchmarks/results/`, by machine."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgetl.devices.facts import machine
from edgetl.runs.installed import versions

__all__ = ["write_result"]

_FOLDER = Path(__file__).parent / "results"


def write_result(name: str, figures: dict[str, Any]) -> None:
    """Write figures with the machine and the versions they belong to, and print them."""
    where = machine()
    slug = re.sub(r"[^a-z0-9]+", "-", f"{where['cpu']}-{where['cores']}-cores".lower()).strip("-")
    file = _FOLDER / f"{name}-{slug}.json"
    file.parent.mkdir(exist_ok=True)
    date = datetime.now(UTC).date().isoformat()
    result = {"benchmark": name, "date": date, **figures, "machine": where, "versions": versions()}
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    print(f"Wrote {file.name}")
