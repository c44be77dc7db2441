"""Networks that learn from data: Ising configurations, images."""
