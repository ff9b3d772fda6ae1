"""Verdict: the one answer an item gets."""
