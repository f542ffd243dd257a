"""Images: MoCo v3 and BYOL with randomized quantization and its rivals, from any image folder to the paper's tables."""
