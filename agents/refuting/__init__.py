"""Refuting: what was published before a claim was refuted gets its refutation afterwards (Provisions, Art. 13)."""
