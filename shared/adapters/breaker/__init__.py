"""The circuit breakers, on pybreaker."""
