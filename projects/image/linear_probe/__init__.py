"""Linear classification on the features of a frozen encoder: the measure of the paper's tables 1 to 5."""
