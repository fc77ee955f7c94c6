"""The facts of a normalisation call by family, one file each; `bnlint.facts.records` puts them together.

Every command reads them, so they are made to cost little: of a family alone no object is ever made, so none has an
`__init__`, a `__repr__` or an `__eq__` of its own, and annotations are not postponed, for to evaluate their text takes
three times as long. That is 8 ms of each start.
"""
