"""The orchestrator of a deployment, its decisions and its activities."""
