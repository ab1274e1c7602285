"""Keep converters' output out of the user's terminal, but show its end when something goes wrong."""

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

_LINES_KEPT = 20
_BYTES_KEPT = 1 << 16


@contextmanager
def quiet() -> Iterator[None]:
    """Swallow what libraries print, log and warn inside; if the body raises, add the last lines to the exception.

    Works on file descriptors 1 and 2, because native converters bypass Python and write there.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    was_disabled = logging.root.manager.disable
    with tempfile.TemporaryFile() as log, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        except Exception as cause:
            cause.add_note(_tail(log.fileno()))
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            logging.disable(was_disabled)
            for target, descriptor in zip((1, 2), saved, strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)


def _tail(descriptor: int) -> str:
    sys.stdout.flush()
    sys.stderr.flush()
    start = max(0, os.fstat(descriptor).st_size - _BYTES_KEPT)
    text = os.pread(descriptor, _BYTES_KEPT, start).decode(errors="replace")
    return "\n".join(text.splitlines()[-_LINES_KEPT:])
