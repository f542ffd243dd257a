"""Evaluation of frozen features: nearest neighbours, linear probes, subsets of labels."""
