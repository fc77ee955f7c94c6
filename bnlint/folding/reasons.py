"""Why not."""

from __future__ import annotations


class CannotFoldError(Exception):
    """A pattern does not apply; the message is the reason, in words that a user can act on."""
