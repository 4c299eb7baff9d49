"""What a person has to mend before Relay, or one of its commands, can go on."""


class Trouble(Exception):
    """Something is in the way. The message says what, where, and what to do, and holds no secret."""

    code = 3
    """How a command ends that it stops."""
