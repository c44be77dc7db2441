"""The error estimates of tracked values, compared with the true errors."""
