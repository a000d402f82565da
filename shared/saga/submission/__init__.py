"""Makes an accepted deployment in the journal of a message."""
