"""Secrets from Key Vault or the environment, and the cache in front of them."""
