"""From a float artifact to an integer one: calibration images and post-training quantization per format."""
