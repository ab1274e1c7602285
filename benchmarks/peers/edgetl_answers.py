"""Which images a network that edgetl trained is right about: those of test, or others; print one line of JSON.

Run: `python benchmarks/peers/edgetl_answers.py RUN [--images DIR]`, where DIR has a folder for each class.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path

import torch
from transfer_common import THREADS, images_of, right_answers

from edgetl.runs.folder import RunFolder
from edgetl.zoo.build import load_classifier


def main() -> None:
    """Score it, as its peers are scored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(THREADS)
    folder = RunFolder.open(asked.run)
    contract = folder.contract
    test = images_of(asked.images or Path(folder.manifest["recipe"]["data"]["path"]) / "test", contract.labels)
    with contextlib.redirect_stdout(sys.stderr):
        right = right_answers(load_classifier(folder), contract, test)
    print(json.dumps({"top1": right.count("1") / len(right), "right": right}))


if __name__ == "__main__":
    main()
