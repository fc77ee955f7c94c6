"""The facts of a normalisation call by family, one file each; `bnlint.facts.records` puts them together."""
