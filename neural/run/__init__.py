"""One run: networks in time, what is asked of them, their log, their warnings and the error of their values."""
