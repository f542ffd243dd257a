"""Audio: BYOL-A with randomized quantization in the place of its mixup, from waveforms to embeddings."""
