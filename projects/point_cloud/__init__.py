"""Point clouds: pretraining of MID-Net by randomized quantization, probes, pictures and the quick start."""
