"""A grid of views by images: the addresses at which features, answers and pixels are stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgetl.data.dataset import ViewDataset
from edgetl.data.decoding import decoder_of_views
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.store import Piece
from edgetl.data.views import EVALUATION, Mixing, Views
from edgetl.runs.files import hash_of

__all__ = ["ViewGrid"]

_PIECE = 64
"""Images of one piece of a store, which are one batch of a network."""


@dataclass(frozen=True)
class ViewGrid:
    """Rows of views, columns of images."""

    index: ImageIndex
    samples: Sequence[Sample]
    views: Views
    view_count: int
    """Augmented views of each image."""

    evaluation: bool = False
    """Whether the first row is the evaluation view; the augmented ones then follow it."""

    augmented: int | None = None
    """Images, from the first, that have augmented views; the others have the evaluation view alone. None for all."""

    @property
    def rows(self) -> int:
        """Views of each image in all."""
        return self.view_count + self.evaluation

    def view_of(self, row: int) -> int:
        """The number of a row's view; `EVALUATION` for the evaluation view."""
        return (EVALUATION if row == 0 else row - 1) if self.evaluation else row

    def mixed(self, row: int) -> list[Mixing] | None:
        """What is mixed into a row's view of each image; None for nothing."""
        if not self.views.is_mixed(self.view_of(row)):
            return None
        dataset = ViewDataset(self.index, self.samples, self.views)
        drawn = (dataset.mixing((position, self.view_of(row))) for position in range(self._images(row)))
        return [each for each in drawn if each]

    def about(self) -> dict[str, str]:
        """Hashes of what decides the pixels of a view.

        Normalisation does not count, since it is part of each network; nor does the number of views, since each view is
        a function of its own number.
        """
        contract = self.views.contract
        pixels = [contract.height, contract.width, contract.resize, contract.filter]
        pixels += [contract.crop_fraction, "evaluation"] if self.evaluation else []
        pixels += [decoder_of_views()] if self.view_count else []
        return {
            "images": hash_of([sample.sha256 for sample in self.samples]),
            "views": hash_of([pixels, *self.views.about()]),
        }

    def pieces(self) -> list[Piece]:
        """All views of all images, in pieces of one batch."""
        return [
            (row, start, min(start + _PIECE, self._images(row)))
            for row in range(self.rows)
            for start in range(0, self._images(row), _PIECE)
        ]

    def _images(self, row: int) -> int:
        whole = self.augmented is None or self.view_of(row) == EVALUATION
        return len(self.samples) if whole or self.augmented is None else self.augmented
