"""Classification of whole shapes: ModelNet40, table 6 of the paper."""
