"""Pretraining on images by MoCo v3 and BYOL, with randomized quantization or one of its baselines."""
