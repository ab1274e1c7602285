"""How fast and how large the artifacts are: the runner gives raw samples, and this package summarizes them."""
