"""What a normalisation is: kinds, classes, operators, names and weights. Nothing here knows of graphs or of files."""
