"""A run on disk and in progress: its folder, what stages are given, and how progress is reported."""
