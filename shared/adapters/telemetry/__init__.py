"""Exporters to Application Insights, and the buffer in front of them."""
