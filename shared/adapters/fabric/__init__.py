"""The Fabric REST API: client, transport, credentials, rate limit, errors."""
