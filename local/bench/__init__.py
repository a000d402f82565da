"""Benchmarks: what a deployment costs beside what it could cost, measured side by side in one run. Never tests."""
