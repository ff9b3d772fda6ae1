"""Recycled: old footage under a new claim (Provisions, Art. 11)."""
