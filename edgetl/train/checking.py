"""Whether a strategy suits a network; found out before anything is trained."""

from edgetl.recipe.networks import ModelConfig
from edgetl.train.strategies.lora import check_products
from edgetl.zoo.build import build_classifier, native_input
from edgetl.zoo.products import matrix_products
from edgetl.zoo.stages import find_stage, stages_of

__all__ = ["check_strategy"]

_CLASSES = 2  # of a network that is only looked at


def check_strategy(config: ModelConfig, section: str, image_size: int | str) -> None:
    """Make sure that a network has what its strategy trains.

    Args:
        config: The network, and how it shall be trained.
        section: Section of the recipe, for messages.
        image_size: Height and width of its input, in pixels; 'auto' for those that it was made for.

    Raises:
        ConfigError: There are no matrix products for lora.
        ModelError: There is no stage of the name that `train_from` gives.
    """
    names_stage = config.train_from != "auto" and (config.strategy == "partial" or _tries(config))
    if not names_stage and config.strategy != "lora":
        return
    plain = config.model_copy(update={"weights": "none", "small_images": "keep"})
    side = native_input(plain).native_size if image_size == "auto" else int(image_size)
    classifier, _ = build_classifier(plain, _CLASSES, side, seed=0)
    if names_stage:
        find_stage(stages_of(classifier, _CLASSES, side), config.train_from, config.model)
    else:
        check_products(matrix_products(classifier, _CLASSES, side), config, section)


def _tries(config: ModelConfig) -> bool:
    return config.strategy == "auto" and config.weights != "none"
