"""Deployments whose steps a Python program creates."""
