"""What a page of text is made of: lines that wrap, tables, names of layers in few words, and a style."""
