"""Colours and markers that tell methods apart in the report's pictures."""

COLOURS = ("#0072B2", "#D55E00", "#000000", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Told apart by colour-blind readers, too (Okabe and Ito), without their yellow, which is too light for lines."""
MARKERS = "osD^vPX"
