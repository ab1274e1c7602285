"""The runner's command line: one JSON object on standard output, and an exit status."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from .arguments import parse
from .commands import predict, profile_model, read_contract, time_model, top_labels, verify
from .errors import RunnerError
from .guard import take_limits
from .model import Model


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and print its JSON object.

    Returns:
        The exit status: 0; 1 if what was to be verified differs; 2 on an error.
    """
    try:
        options = parse(arguments)
        answer = _COMMANDS[options.command](options)
    except RunnerError as error:
        print(json.dumps({"error": str(error)}))
        return 2
    except MemoryError:
        print(json.dumps({"error": "there is not enough free memory"}))
        return 2
    print(json.dumps(answer))
    return 0 if answer.get("passed", True) else 1


def _predict(options: argparse.Namespace) -> dict[str, Any]:
    contract = read_contract(options.contract) if options.contract else None
    model = Model.open(options.model, options.threads, contract=contract)
    if not options.out:
        return top_labels(model, options.files, options.top)
    probabilities_NK, facts = predict(model, options.files)
    try:
        np.save(options.out, probabilities_NK)
    except OSError as cause:
        raise RunnerError(f"{options.out}: cannot be written ({cause.strerror or cause})") from cause
    return facts


def _verify(options: argparse.Namespace) -> dict[str, Any]:
    model = Model.open(options.model, options.threads)
    return verify(model, options.files, options.reference, max_difference=options.max_difference)


def _time(options: argparse.Namespace) -> dict[str, Any]:
    return time_model(
        options.model,
        options.files,
        threads=options.threads,
        warmup_runs=options.warmup,
        min_samples=options.min_samples,
        min_seconds=options.min_seconds,
        clock=time.perf_counter,
    )


def _profile(options: argparse.Namespace) -> dict[str, Any]:
    return profile_model(
        options.model, options.files, threads=options.threads, warmup_runs=options.warmup, runs=options.runs
    )


_COMMANDS = {"predict": _predict, "verify": _verify, "time": _time, "profile": _profile}

if __name__ == "__main__":
    take_limits()
    sys.exit(main())
