"""Linear classification of frozen embeddings: the measure of the paper's table 9."""
