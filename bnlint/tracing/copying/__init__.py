"""Copies of models on which their code may run, and what keeps such a run away from the original."""
