"""From a float artifact to an integer one: plans, the ladder up to one that is good enough, and its receipt."""
