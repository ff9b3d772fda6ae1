"""Synthetic: what is not real, and whether it is labelled."""
