"""Folds BatchNorm into the layers around it: algebra, plan, doing it, proving it."""
