"""Dry runs: what a copy of the model does when it is run, as frozen observations."""
