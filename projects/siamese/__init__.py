"""Siamese frameworks that learn from two views of a sample: MoCo v3, BYOL, and the rivals that the paper compares."""
