"""Bounds on a layer's integer weights, so that no kernel's sums overflow.

On x86 without dot-product instructions, ONNX Runtime and OpenVINO multiply codes in pairs and add the two products in
16 bits (`vpmaddubsw`), which saturate. With activations up to 255, the two weights of a pair may sum to 128: one may be
large if the other is small. The usual cure, 7 bits for every weight, costs a bit that most weights can keep. Which
weights form a pair was found by experiment on both runtimes; a test repeats it.
"""

from dataclasses import dataclass

import torch

from edgetl.quantize.graph import Layer

__all__ = ["Width", "full_width", "paired_width"]

_TOP = 127
_PAIR_TOP = 32767 // 255


@dataclass(frozen=True)
class Width:
    """Bounds on the codes of a layer's weights, whose columns are those of the flattened weights `(O, C)`."""

    top: int = _TOP
    """The largest code; the smallest is `-top`."""

    partners_C: torch.Tensor | None = None
    """For each column, the one whose product is added to its own in 16 bits, or itself if there is none. Codes of the
    two sum to between -128 and 128. None if no products are added in 16 bits."""

    def least_steps(self, rows_OC: torch.Tensor) -> torch.Tensor:
        """The smallest steps `(O,)` that keep all weights within the bounds."""
        steps_O = rows_OC.abs().amax(1) / self.top
        if self.partners_C is None:
            return steps_O
        paired = self.partners_C != torch.arange(len(self.partners_C))
        sums_OC = (rows_OC + rows_OC[:, self.partners_C])[:, paired]
        return torch.maximum(steps_O, sums_OC.abs().amax(1) / _PAIR_TOP) if paired.any() else steps_O

    def nearest(self, rows_OC: torch.Tensor) -> torch.Tensor:
        """The nearest codes within the bounds; of a pair that is too large, the second is reduced."""
        codes_OC = rows_OC.round().clamp(-self.top, self.top)
        if self.partners_C is not None:
            seconds = torch.nonzero(self.partners_C < torch.arange(len(self.partners_C)))[:, 0]
            beside = codes_OC[:, self.partners_C[seconds]]
            codes_OC[:, seconds] = codes_OC[:, seconds].clamp(-_PAIR_TOP - beside, _PAIR_TOP - beside)
        return codes_OC

    def nearest_beside(self, values_O: torch.Tensor, column: int, chosen_OC: torch.Tensor) -> torch.Tensor:
        """The nearest codes `(O,)` of one column, given the chosen ones; columns not chosen yet hold 0."""
        codes_O = values_O.round().clamp(-self.top, self.top)
        if self.partners_C is None:
            return codes_O
        beside_O = chosen_OC[:, self.partners_C[column]]
        return codes_O.clamp(-_PAIR_TOP - beside_O, _PAIR_TOP - beside_O)


def full_width(_layer: Layer) -> Width:
    """All 8 bits, for kernels that add products in 32 bits."""
    return Width()


def paired_width(layer: Layer) -> Width:
    """The bounds of kernels that add two products in 16 bits."""
    weight = layer.weight
    inputs, places = weight.shape[1], weight[0, 0].numel()
    if layer.is_depthwise:
        return Width()  # their kernels widen the codes before they multiply
    if places > 1 and inputs % 2:
        return Width(_PAIR_TOP // 2)  # the runtimes form different pairs here; any two weights may meet
    channels = torch.arange(inputs)
    partners = torch.where(channels ^ 1 < inputs, channels ^ 1, channels)
    return Width(partners_C=(partners[:, None] * places + torch.arange(places)).flatten())
