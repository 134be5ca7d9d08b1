"""Optimisers that torch lacks, for small networks on full batches."""
