"""Relay's synthetic probes: a worker that probes services from one location, and tells Prometheus what it saw."""
