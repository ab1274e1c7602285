"""The proof that what was exported is what was trained."""
