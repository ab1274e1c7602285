"""Keep a benchmark's figures under `benchmarks/results/`, by machine."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgetl.devices.facts import machine
from edgetl.runs.installed import versions

__all__ = ["known_result", "write_result"]

_FOLDER = Path(__file__).parent / "results"


def write_result(name: str, figures: dict[str, Any]) -> None:
    """Write figures with the machine and the versions they belong to, and print them."""
    file, where = _file(name), machine()
    file.parent.mkdir(exist_ok=True)
    date = datetime.now(UTC).date().isoformat()
    result = {"benchmark": name, "date": date, **figures, "machine": where, "versions": versions()}
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    print(f"Wrote {file.name}")


def known_result(name: str) -> dict[str, Any]:
    """What was written for this machine before; empty if nothing was."""
    file = _file(name)
    known: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
    return known


def _file(name: str) -> Path:
    where = machine()
    slug = re.sub(r"[^a-z0-9]+", "-", f"{where['cpu']}-{_integers(where)}-{where['cores']}-cores".lower()).strip("-")
    return _FOLDER / f"{name}-{slug}.json"


def _integers(where: dict[str, Any]) -> str:
    """How the machine multiplies 8-bit integers, which decides most about what is worth measuring here."""
    known = where["instruction_sets"]
    names = {"amx": "amx_int8", "vnni": "avx512_vnni", "avx-vnni": "avx_vnni", "i8mm": "i8mm", "dotprod": "asimddp"}
    return next((name for name, flag in names.items() if flag in known), "avx2" if "avx2" in known else "plain")
