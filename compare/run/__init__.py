"""Runs: in this process, on the cores of a machine, on a cluster; references, records and where they come from."""
