"""`python -m edgetl` is the command line."""

from edgetl.cli.app import main

if __name__ == "__main__":  # a worker process imports this module, too
    main()
