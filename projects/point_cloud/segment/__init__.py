"""Segmentation of shapes into parts: ShapeNet Part, table 7 of the paper."""
