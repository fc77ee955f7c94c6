"""Running code of models, and checking many of them, in processes of their own."""
