"""Why an integer artifact is, or is not, faster than the float one on this machine."""
