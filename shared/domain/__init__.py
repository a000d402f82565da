"""Pure decisions: what is valid, what comes next, what may follow what. No I/O, no clock, no randomness."""
