"""The engine: accept a deployment, move one step, orchestrate, compensate, sweep, report health."""
