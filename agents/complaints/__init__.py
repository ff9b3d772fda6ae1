"""Complaints: taken in, weighed, and answered in time (Provisions, Art. 15)."""
