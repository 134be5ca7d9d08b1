"""Speed claims, each side by side with its peer in one run."""
