"""The dry run: the changes of a deployment, found by reading only."""
