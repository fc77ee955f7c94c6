"""A coverage-guided search, with atheris, for files that bnlint neither reads nor refuses in a sentence."""
