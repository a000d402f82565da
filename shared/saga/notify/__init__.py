"""Notifications: what is announced, and its way to the webhook."""
