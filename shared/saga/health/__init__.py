"""The health checks and the monitor that runs them."""
