"""Labels in a hierarchy, under every embedding of "a child implies its parents"."""
