"""From a recipe to a plan of runs, and from the plan to finished run folders."""
