"""The command line of pipelines and operators, `python -m shared.cli`. It needs only the storage account or the API."""
