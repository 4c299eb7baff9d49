"""`python -m synthetic`."""

from synthetic.cli import main

main(prog_name="relay-synthetic")
