"""Measured runs beside the paper's tables, in Markdown, CSV and pictures: the work of ``pcrq report``."""
