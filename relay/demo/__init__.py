"""The shop that breaks, strict stand-ins for the vendors, and the story told with them."""
