"""The last layer of a network: where it is, and how a new one starts."""

from torch import nn

__all__ = ["start_small"]

_STD = 0.01


def start_small(net: nn.Module, num_classes: int) -> None:
    """Give the last layer weights of standard deviation 0.01 and no bias, so that the first answers are undecided.

    Some libraries start it by its number of outputs: timm's MobileNets and EfficientNets draw from +-1 / sqrt(K), which
    for ten classes means logits with a deviation of 5. The first gradients are then large and random, and ruin the
    pretrained filters. torchvision's MobileNetV2 and VGG start as here. BiT (Kolesnikov et al., arXiv 1912.11370)
    starts at zero, which would leave a SqueezeNet, whose head ends in a ReLU, without a gradient.

    Args:
        net: A network from images to logits `(N, num_classes)`; changed in place.
        num_classes: Outputs.
    """
    layers = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d) and len(m.weight) == num_classes]
    if not layers:
        return  # a head of another kind keeps the start its library gave it
    nn.init.normal_(layers[-1].weight, std=_STD)
    if layers[-1].bias is not None:
        nn.init.zeros_(layers[-1].bias)
