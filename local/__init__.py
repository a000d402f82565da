"""Runs the app for real on a machine without Azure: a functions host, a simulator of Fabric, Azurite."""
