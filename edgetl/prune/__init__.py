"""Pruning: remove whole channels from a trained student until it is measurably faster, or keep them all."""
