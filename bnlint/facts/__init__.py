"""What is true of each normalisation call and of the model."""
