"""Matrix product states of classical and open quantum systems, and their evolution by local propagators."""
