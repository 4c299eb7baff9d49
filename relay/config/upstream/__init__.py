"""The Alertmanager configuration that feeds Relay: what in it would lose, delay or hide alerts."""
