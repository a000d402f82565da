"""From a message to an accepted deployment in the journal."""
