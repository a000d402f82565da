"""What a deployment would change, found by reading only."""
