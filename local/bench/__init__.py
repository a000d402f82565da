"""Benchmarks: compare the cost of a deployment with a baseline that is measured in the same run. They are not tests."""
