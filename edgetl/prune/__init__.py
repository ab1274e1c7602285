"""Pruning: a trained student gives up whole channels until it is measurably faster, or keeps them all."""
