"""Pretraining on sounds by BYOL-A, with randomized quantization or mixup, and its evaluation."""
