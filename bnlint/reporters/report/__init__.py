"""The formats of reports: one registry, one file a format."""
