"""Sluice: progressive delivery for models on Seldon Core."""
