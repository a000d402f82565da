"""The command that CI and operators run: `python -m shared.cli`. It works over the storage account alone."""
