"""Pretraining of MID-Net on point clouds."""
