"""What all trainers share: the command line of a run, sampling, callbacks, run records and sweeps."""
