"""Relay beside its peers, in one run: ratios, not seconds. `python -m tests.bench --help`."""
