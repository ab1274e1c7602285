"""One training loop, its schedule and its checkpoints; fine-tuning is the loop with true labels."""
