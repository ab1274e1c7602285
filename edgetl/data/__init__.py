"""Open a folder of images, check all of it once, split it, and give out addressable views."""
