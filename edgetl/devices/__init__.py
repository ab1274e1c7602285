"""Where a model runs: profiles of devices, the door to them, and measuring through it."""
