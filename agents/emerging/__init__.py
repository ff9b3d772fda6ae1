"""Emerging: what many accounts begin to say within minutes, before any list has it (Provisions, Art. 13)."""
