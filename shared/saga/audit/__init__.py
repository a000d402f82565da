"""The proof that journal and audit are unchanged."""
