"""One module for each outside system: its settings, and a courier that speaks its wire contract."""
