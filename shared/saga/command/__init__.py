"""What a person asks of a deployment: verbs, release, resume."""
