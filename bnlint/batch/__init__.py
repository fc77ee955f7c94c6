"""Checking many models, in processes of their own."""
