"""How fast and how large the artifacts are: the runner gives raw samples, this turns them into numbers."""
