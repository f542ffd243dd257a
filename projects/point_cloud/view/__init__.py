"""Shapes beside their quantized versions: pictures (``figure``), HTML pages (``page``), windows (``render``)."""
