"""The fact table: one file a format, and what its formats share."""
