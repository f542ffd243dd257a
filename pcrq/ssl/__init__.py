"""Self-supervised methods with two augmented samples: MoCo v3, BYOL, MSF, and the baselines DACL, i-Mix and SSQL."""
