"""Files of `torch.save` and pickles read as data: nothing that a file names is imported, called or built."""
