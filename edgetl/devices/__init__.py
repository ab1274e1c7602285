"""Where a model runs: device profiles, the interface to a device, and measurements through it."""
