"""Strategies of transfer learning, a file each: how much of a pretrained network is trained, and in which order."""
