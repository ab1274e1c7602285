"""Logistic regression of scikit-learn on the features of the frozen network; print one line of JSON.

Features are standardized; the penalty is chosen by cross-validation in which all views of an image are in one fold.
Run: `python benchmarks/peers/logistic.py --data DIR --model mobilenetv2 --weights FILE --size 128 --views 8`.
"""

import argparse
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transfer_common import Task, network, parser_of, run_peer

from edgetl.runner.contract import load_image
from edgetl.zoo.classifier import Classifier

_STRENGTHS = np.logspace(-5, 0, 11)
_FOLDS = 5
_ITERATIONS, _JOBS = 2000, 2
_SMALLEST_AREA = 0.4
_BATCH = 64

Features = NDArray[np.float32]


def main() -> None:
    """Run it."""
    parser = parser_of(__doc__)
    parser.add_argument("--views", type=int, default=0, help="random squares of each image; 0 takes the plain image")
    run_peer(parser.parse_args(), _learn)


def _learn(task: Task, args: argparse.Namespace) -> tuple[nn.Module, dict[str, Any]]:
    classifier, _ = network(task)
    features_VND = np.stack([_features(classifier, task, bool(args.views)) for _ in range(max(1, args.views))])
    fit = _fitted(features_VND, task.train.labels_N)
    classifier.net.classifier = _layer(*fit)
    return classifier, {"strength": float(fit[1].C_[0])}


def _features(classifier: Classifier, task: Task, augmented: bool) -> Features:
    """Pooled features `(N, D)` of one view of each training image."""
    preprocess = _random_square(task.contract.height) if augmented else task.contract.preprocess
    files, parts = task.train.files, []
    for start in range(0, len(files), _BATCH):
        pixels_NHWC = np.stack([preprocess(load_image(file)) for file in files[start : start + _BATCH]])
        with torch.inference_mode():
            parts.append(classifier(torch.from_numpy(pixels_NHWC)).numpy())
    return np.concatenate(parts)


def _random_square(side: int) -> Any:
    from torchvision import transforms as t

    crop = t.RandomResizedCrop(side, scale=(_SMALLEST_AREA, 1.0), ratio=(1.0, 1.0))
    return t.Compose([crop, t.RandomHorizontalFlip(), np.array])


def _fitted(features_VND: Features, labels_N: NDArray[np.int64]) -> tuple[Any, Any]:
    """The scaler and the regression."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    views, images, width = features_VND.shape
    scaler = StandardScaler()
    features_SD = scaler.fit_transform(features_VND.reshape(-1, width))
    labels_S, image_S = np.tile(labels_N, views), np.tile(np.arange(images), views)
    folds = min(_FOLDS, int(np.bincount(labels_N).min()))
    splits = StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(features_SD, labels_S, image_S)
    options = {"scoring": "accuracy", "max_iter": _ITERATIONS, "n_jobs": _JOBS}
    regression = LogisticRegressionCV(Cs=_STRENGTHS, cv=list(splits), **options)
    with threadpool_limits(1):  # the folds share the cores
        return scaler, regression.fit(features_SD, labels_S)


def _layer(scaler: Any, regression: Any) -> nn.Linear:
    """Both as the last layer of the network."""
    weights_KD = regression.coef_ / scaler.scale_
    layer = nn.Linear(weights_KD.shape[1], weights_KD.shape[0])
    bias_K = regression.intercept_ - weights_KD @ scaler.mean_
    layer.load_state_dict({"weight": torch.from_numpy(weights_KD), "bias": torch.from_numpy(bias_K)})
    return layer


if __name__ == "__main__":
    main()
