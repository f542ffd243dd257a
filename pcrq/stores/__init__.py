"""The HDF5 files that prepared datasets are kept in: shape stores and sound stores."""
