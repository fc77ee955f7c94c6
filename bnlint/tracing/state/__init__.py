"""What belongs to the process rather than to a model, and code of a model can change: read before, put back after."""
