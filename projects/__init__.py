"""One folder per modality with its trainers, and the command line."""
