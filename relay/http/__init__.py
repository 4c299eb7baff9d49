"""The doors: one module for each audience."""
