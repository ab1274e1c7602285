"""`python -m edgetl` is the command line."""

from edgetl.cli import main

main()
