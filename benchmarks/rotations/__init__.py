"""Digits that come turned: invariance where it is true of the label, and where it is not."""
