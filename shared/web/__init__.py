"""The HTTP API and the page: requests and replies as values; only routes.py knows the Functions host."""
