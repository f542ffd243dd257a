"""Images: MoCo v3 and BYOL with randomized quantization and the baselines of the paper."""
