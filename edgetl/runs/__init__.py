"""A run on the disk and in the making: its folder, what stages are handed, and how progress is told."""
