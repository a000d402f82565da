"""Azure Storage: tables, queues and blobs."""
