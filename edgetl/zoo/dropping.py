"""What a network leaves out at random while it is trained: features before its head, and residual blocks.

Both are arguments of the libraries and no part of the weights: a trained network is built again without them, and
nothing of them is in an exported file.
"""

from torch import nn

from edgetl.errors import ModelError
from edgetl.recipe.networks import ModelConfig

__all__ = ["check_dropping", "dropping_arguments", "refused_dropping"]

_ARGUMENTS = {
    "timm": {"dropout": "drop_rate", "stochastic_depth": "drop_path_rate"},
    "torchvision": {"dropout": "dropout", "stochastic_depth": "stochastic_depth_prob"},
}
"""By library: the argument of a field of the recipe."""

_SKIPPING = {"DropPath", "StochasticDepth"}
"""Classes of timm and torchvision that skip a residual block."""


def dropping_arguments(config: ModelConfig, library: str) -> dict[str, float]:
    """What the recipe asks for, as arguments of a library.

    Dropout is that of Srivastava et al. (JMLR 2014); stochastic depth that of Huang et al. (arXiv 1603.09382), by which
    a block is skipped the more often the later it comes.

    Args:
        config: The recipe's section.
        library: 'timm' or 'torchvision'.
    """
    asked = {argument: getattr(config, field) for field, argument in _ARGUMENTS[library].items()}
    return {argument: value for argument, value in asked.items() if value != "auto"}


def refused_dropping(config: ModelConfig, library: str, reason: str) -> ModelError | None:
    """The error for an argument that a library refused, if its reason names one of `dropping_arguments`."""
    asked = dropping_arguments(config, library)
    fields = [
        field for field, argument in _ARGUMENTS[library].items() if argument in asked and f"'{argument}'" in reason
    ]
    return _error(config, fields[0]) if fields else None


def check_dropping(config: ModelConfig, net: nn.Module) -> None:
    """Check that a network has what the recipe asks for, since some take an argument and ignore it.

    Raises:
        ModelError: It has not.
    """
    modules = list(net.modules())
    drops = any(config.dropout in (getattr(each, "drop_rate", None), _dropout_of(each)) for each in modules)
    skips = any(type(each).__name__ in _SKIPPING for each in modules)
    for field, is_there in (("dropout", drops), ("stochastic_depth", skips)):
        asked = getattr(config, field)
        if asked != "auto" and asked > 0 and not is_there:
            raise _error(config, field)


def _error(config: ModelConfig, field: str) -> ModelError:
    return ModelError(f"{config.model}: has no {field} that its library can set. Leave {field} at 'auto'")


def _dropout_of(module: nn.Module) -> float | None:
    return module.p if isinstance(module, nn.Dropout) else None
