"""Learning on octrees: shape store, batches, augmentation, MID-Net, losses and probes."""
