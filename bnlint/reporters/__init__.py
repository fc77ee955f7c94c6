"""What bnlint writes: reports, fact tables, folds and rules as text, each a pure function of a record and a style."""
