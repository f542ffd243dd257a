"""Measurements against alternatives and against measured limits; ``python -m benchmarks`` runs them."""
