"""Places drawn from a layer's inputs."""

import torch

from edgetl.quantize.columns import sampled_columns
from edgetl.quantize.graph import layers_of


def test_places_come_image_after_image(graph):
    """So that parts of them are parts of the images."""
    layer = next(layers_of(graph))
    side = 320  # more places than are drawn
    images = torch.arange(8.0).view(-1, 1, 1, 1).expand(-1, 3, side, side)
    columns = sampled_columns(layer, [images[:4], images[4:]], 2)
    assert len(columns) < 8 * side * side / 4
    seen = columns.amax(1)
    assert (seen.diff() >= 0).all()
    assert seen.unique().tolist() == list(range(8))
