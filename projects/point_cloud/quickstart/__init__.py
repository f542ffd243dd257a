"""The whole road on built-in shapes: prepare, pretrain, probe, report, pictures."""
