"""The output of the command line: lines, JSON, Markdown, commands to a pipeline's runner."""
