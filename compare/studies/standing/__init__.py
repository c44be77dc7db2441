"""The standing table: how networks and trackers stand, over families of systems and sizes, from declared runs alone."""
