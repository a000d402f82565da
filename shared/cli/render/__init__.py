"""What the command line prints: lines, JSON, Markdown, a pipeline's runner."""
