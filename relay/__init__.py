"""Carry an outage through its whole life.

Read in this order: `incident/events.py`, one concern (`incident/escalation.py`), `incident/decide.py`, `engine/`.
"""
