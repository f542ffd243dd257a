"""Shapes beside their quantized versions: a picture (``figure``), a page (``page``) or a window (``window``)."""
