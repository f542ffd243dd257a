"""Audio: BYOL-A with randomized quantization instead of its mixup, from waveforms to embeddings."""
