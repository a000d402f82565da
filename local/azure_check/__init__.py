"""`make azure-check`: after `azd up`, one command that tries the real app once and leaves nothing behind."""
