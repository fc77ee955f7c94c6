"""Known code: whole models read as data and made live again from classes that are known, without running their file."""
