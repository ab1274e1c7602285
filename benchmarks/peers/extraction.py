"""The bare extraction of features: views of each training image and the test images through the network; print JSON.

No head is fitted and nothing is written: the least that anything which uses these features has to spend. The views are
edgetl's own. Run: `python benchmarks/peers/extraction.py --data DIR --model mobilenetv2 --weights FILE --size 128
--views 5`.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transfer_common import THREADS, Task, network, parser_of, task_of

from edgetl.data.views import view
from edgetl.recipe.images import AugmentConfig
from edgetl.runner.contract import load_image
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.torchvision_ops import ensure_torchvision

_BATCH = 64


def main() -> None:
    """Extract, and print the seconds without those of the start, and the number of views."""
    parser = parser_of(__doc__)
    parser.add_argument("--views", type=int, required=True, help="of each training image, the plain one included")
    args = parser.parse_args()
    ensure_torchvision()
    torch.set_num_threads(THREADS)
    task = task_of(args)
    classifier, _ = network(task)
    start = time.perf_counter()
    number = sum(_extract(classifier, task, row) for row in range(args.views))
    print(json.dumps({"extraction_seconds": round(time.perf_counter() - start, 2), "views": number}))


def _extract(classifier: Classifier, task: Task, row: int) -> int:
    """Compute the features of one view of each image, of the test images in the first row; returns their number."""
    files = [*task.train.files, *task.test.files] if row == 0 else task.train.files
    for start in range(0, len(files), _BATCH):
        batch = files[start : start + _BATCH]
        pixels_NHWC = np.stack([_pixels(file, task, row, start + place) for place, file in enumerate(batch)])
        with torch.inference_mode():
            classifier(torch.from_numpy(pixels_NHWC))
    return len(files)


def _pixels(file: Path, task: Task, row: int, sample: int) -> NDArray[np.uint8]:
    """The plain image in the first row, random views in the others."""
    image = load_image(file)
    if row == 0:
        return task.contract.preprocess(image)
    return view(image, task.contract, AugmentConfig(), seed=task.seed, view=row - 1, sample=sample)


if __name__ == "__main__":
    main()
