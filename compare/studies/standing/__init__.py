"""The standing table: networks and trackers ranked over families of systems and sizes, from declared runs alone."""
