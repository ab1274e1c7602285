"""The part that runs on a device: predict, time and profile one artifact, with nothing else of edgetl installed.

Needs the standard library, NumPy, Pillow and one runtime. It prints raw samples and facts as JSON; statistics and
verdicts are the host's. `python -m edgetl.runner --help` shows its commands.
"""
