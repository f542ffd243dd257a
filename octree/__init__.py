"""Learning on octrees: shape store, batches, augmentation, MID-Net, losses and probes.

The store (``octree.shape_store``) is light; the rest loads torch and ocnn. Import from the modules directly.
"""
