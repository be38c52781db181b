"""Mistakes that are put into copies of the tree, one at a time, and which check catches which."""
