"""Meshes and public data sets in, a shape store out."""
