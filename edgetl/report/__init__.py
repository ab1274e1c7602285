"""The report: one self-contained page that says what was made, how good and how fast it is, and how it was proven."""
