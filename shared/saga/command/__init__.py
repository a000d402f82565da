"""The commands of a person on a deployment: verbs, release, resume."""
