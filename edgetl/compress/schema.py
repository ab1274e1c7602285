"""The receipt's file: its name and the version of its content, for readers without the libraries that make it."""

__all__ = ["RECEIPT_FILE", "RECEIPT_SCHEMA"]

RECEIPT_FILE = "quantize.json"
RECEIPT_SCHEMA = 2
