"""The error estimates of tracked values against the truth."""
