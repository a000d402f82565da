"""The HTTP API and the page. Requests and replies are values; only routes.py knows the Functions host."""
