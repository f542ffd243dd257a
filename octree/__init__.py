"""Learning on octrees: shape store, batches, augmentation, MID-Net, losses and probes.

The store (``pcrq.stores.shape_store``) is light; the rest loads torch and ocnn. Import from the modules directly; only
:func:`octree.load_pretrained`, the way in for a user of pretrained networks, is here as well.
"""


def __getattr__(name: str):
    """Import on first use: ``import octree`` alone loads nothing."""
    if name == "load_pretrained":
        from octree.pretrained import load_pretrained

        return load_pretrained
    raise AttributeError(f"module 'octree' has no attribute {name!r}")
