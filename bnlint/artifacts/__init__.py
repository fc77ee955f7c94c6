"""Bytes on disk and import strings become an `Artifact`."""
