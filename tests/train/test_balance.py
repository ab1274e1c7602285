"""Classes of unequal size: what 'auto' does and says, and that rare classes gain by it."""

import numpy as np
import pytest
import small_run
import torch
from heard import Heard
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.utils.class_weight import compute_class_weight

from edgetl.data.dataset import Batch, ViewDataset
from edgetl.data.index import ImageIndex, Sample
from edgetl.errors import ConfigError
from edgetl.recipe.networks import TeacherConfig
from edgetl.runs.files import sha256_of
from edgetl.train.balance import Balance, balance_of, say_balance
from edgetl.train.evaluation import Score
from edgetl.train.fitted_head import logits_of
from edgetl.train.folds import folds_of
from edgetl.train.labels import label_loss
from edgetl.train.probe import Examples, fit_probe, refit


def index_of(*counts, tmp_path):
    samples = [
        Sample(f"{label}-{number}", label, "train", "0" * 64)
        for label, count in enumerate(counts)
        for number in range(count)
    ]
    samples.append(Sample("judged", 0, "val", "1" * 64))
    return ImageIndex(tmp_path, ("ant", "bee", "cat")[: len(counts)], tuple(samples), {}, 8)


def test_weights_are_those_of_scikit_learn():
    counts = (5, 20, 75)
    labels = np.repeat(np.arange(3), counts)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    balance = Balance("weights", counts)
    np.testing.assert_allclose(balance.weights, expected, rtol=1e-6)
    assert balance.weights_of(labels).mean() == pytest.approx(1)
    assert balance.weights_of(np.array([-1, 0])).tolist() == pytest.approx([1, expected[0]])


@pytest.mark.parametrize(("counts", "way"), [((10, 30, 20), "none"), ((10, 31, 20), "weights"), ((7, 7, 7), "none")])
def test_auto_acts_beyond_three_to_one_and_says_so(counts, way, tmp_path):
    index, config = index_of(*counts, tmp_path=tmp_path), TeacherConfig()
    balance = balance_of(config, index)
    assert balance.way == way
    said = say_balance(balance, config, index, "teacher")
    assert bool(said) == (way != "none")
    if said:
        assert said == (
            "Classes are uneven (10 training images of 'ant', 31 of 'bee'): an image counts 0.66 to 2 times, so that"
            " all classes count alike. --set teacher.balance=none switches that off."
        )


@pytest.mark.parametrize("way", ["none", "weights", "sampling"])
def test_what_the_recipe_asks_for_is_done_without_a_word(way, tmp_path):
    index, config = index_of(2, 90, 3, tmp_path=tmp_path), TeacherConfig(balance=way)
    balance = balance_of(config, index)
    assert (balance.way, say_balance(balance, config, index, "teacher")) == (way, "")
    assert (balance.loss_weights is not None) == (way == "weights")
    assert (balance.drawn([0, 1]) is not None) == (way == "sampling")
    assert (balance.weights_of(np.array([0, 1])).tolist() == [1, 1]) == (way == "none")


def test_an_image_counts_in_the_loss_by_its_class_and_a_mixed_one_by_both():
    logits_NK = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    labels_N, partners_N = torch.tensor([0, 1, -1]), torch.tensor([2, 1, -1])
    shares_N, places_N = torch.tensor([0.25, 0.0, 0.0]), torch.arange(3)
    batch = Batch(torch.zeros(3, 1, 1, 3), labels_N, places_N, 0, 0, partners_N, shares_N)
    logs_NK = torch.log_softmax(logits_NK, 1)
    weights_K = torch.tensor([0.5, 4.0, 2.0])
    expected = -(0.75 * 0.5 * logs_NK[0, 0] + 0.25 * 2.0 * logs_NK[0, 2] + 4.0 * logs_NK[1, 1]) / 2
    torch.testing.assert_close(label_loss(logits_NK, batch, weights_K=weights_K), expected)


def overlapping(counts, seed, noise=1.6):
    """Images of three classes that overlap."""
    rng = np.random.default_rng(seed)
    labels_N = np.repeat(np.arange(3), counts)
    features_ND = np.eye(3, 8)[labels_N] * 2 + noise * rng.normal(size=(len(labels_N), 8))
    return features_ND.astype(np.float32), labels_N


def examples_of(features_ND, labels_N, balance):
    targets_NK = np.eye(3, dtype=np.float32)[labels_N]
    return Examples(features_ND[None], targets_NK[None], labels_N, balance.weights_of(labels_N))


def test_a_weighted_probe_is_that_of_scikit_learns_balanced_weights():
    features_ND, labels_N = overlapping((80, 40, 10), seed=0)
    own = examples_of(features_ND, labels_N, Balance("weights", (80, 40, 10)))
    probe = fit_probe(own, folds_of(labels_N.tolist(), 4, seed=0))
    head = refit(own, probe, np.arange(130))
    scale = features_ND.var(0).sum()
    theirs = Reference(C=1 / (probe.strength * scale * 130), class_weight="balanced", max_iter=5000, tol=1e-8)
    theirs.fit(features_ND, labels_N)
    np.testing.assert_allclose(head.weight_KD, theirs.coef_, atol=0.02 * np.abs(theirs.coef_).max())


def test_the_probe_finds_more_of_a_rare_class():
    counts = (150, 150, 12)
    features_ND, labels_N = overlapping(counts, seed=1)
    fresh_ND, fresh_N = overlapping((300, 300, 300), seed=2)
    recall = {}
    for way in ("none", "weights"):
        own = examples_of(features_ND, labels_N, Balance(way, counts))
        head = refit(own, fit_probe(own, folds_of(labels_N.tolist(), 4, seed=0)), np.arange(len(labels_N)))
        right_N = logits_of(head, fresh_ND).argmax(1) == fresh_N
        recall[way] = right_N[fresh_N == 2].mean(), Score(right_N, 0.0).balanced_top1(fresh_N)
    assert recall["weights"][0] > recall["none"][0] + 0.2
    assert recall["weights"][1] > recall["none"][1] + 0.05


def test_balanced_top1_is_the_mean_recall():
    score = Score(np.array([True] * 90 + [False] * 5 + [True] * 5), 0.0)
    assert score.top1 == pytest.approx(0.95)
    assert score.balanced_top1([0] * 90 + [1] * 10) == pytest.approx(0.75)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A folder of digits, of which one class is rare."""
    return small_run.uneven_digits(tmp_path_factory.getbasetemp())


@pytest.fixture
def learn(uneven, tmp_path, tmp_path_factory):
    """Fine-tune what knows the digits: `run, heard = learn("name", strategy="features")`."""
    weights = small_run.weights_of_digits(tmp_path_factory.getbasetemp())["damaged"]

    def run(name, reporter=None, *, augment=None, **teacher):
        settings = small_run.recipe(
            checkpoint_seconds=0,
            data={"path": str(uneven), "image_size": 16, "resize": "crop"},
            augment=augment or {},
            teacher={"model": "test_resnet", "weights": weights, "batch_size": 16, "epochs": 1, "tuning_epochs": 2}
            | teacher,
        )
        heard = reporter or Heard()
        return small_run.made(settings, tmp_path / name, "teacher", ("data", "finetune"), heard), heard

    return run


@pytest.mark.parametrize("strategy", ["features", "full"])
def test_a_training_says_what_it_does_and_reports_the_mean_recall(learn, strategy):
    run, heard = learn("auto", strategy=strategy)
    assert sum(line.startswith("Classes are uneven (") for line in heard.lines) == 1
    plain, quiet = learn("none", strategy=strategy, balance="none")
    assert not any("uneven" in line for line in quiet.lines)
    assert plain.weights_sha256 != run.weights_sha256
    if strategy == "full":
        for name, options in {"sampled": {"balance": "sampling"}, "mixed": {"augment": {"mixup": 1.0}}}.items():
            other, _ = learn(name, **{"strategy": strategy, "balance": "none"} | options)
            assert other.weights_sha256 != plain.weights_sha256, name
    for each in (run, plain):
        assert 0 <= each.manifest["metrics"]["finetune"]["test_balanced_top1"] <= 1


def test_even_classes_have_no_mean_recall(trained):
    assert "test_balanced_top1" not in trained.manifest["metrics"]["finetune"]


EVERYTHING = {
    "augment": {"mixup": 0.2, "cutmix": 1.0, "randaugment": 2},
    "dropout": 0.2,
    "stochastic_depth": 0.2,
    "balance": "sampling",
}


def test_a_stopped_training_with_everything_goes_on_to_the_same_bytes(learn, monkeypatch):
    options = EVERYTHING | {"strategy": "partial"}
    straight, _ = learn("straight", **options)
    plain, batches = ViewDataset.__getitem__, 0

    def get(dataset, address):
        nonlocal batches
        is_mixed = address[1] >= 0 and dataset._views.mixes
        batches += is_mixed
        if is_mixed and batches == 40:
            raise KeyboardInterrupt
        return plain(dataset, address)

    monkeypatch.setattr(ViewDataset, "__getitem__", get)
    with pytest.raises(KeyboardInterrupt):
        learn("stopped", **options)
    resumed, heard = learn("stopped", **options)
    assert any("going on after step" in line for line in heard.lines)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert sha256_of(straight.file(name)) == sha256_of(resumed.file(name))


def test_images_cannot_be_mixed_where_none_is_trained_on(learn):
    with pytest.raises(ConfigError) as caught:
        learn("run", strategy="features", augment={"cutmix": 1.0})
    assert str(caught.value) == (
        "augment.cutmix: no image is trained on with teacher.strategy=features, so none can be mixed."
        " Set it to 0, or choose another strategy, such as partial."
    )
