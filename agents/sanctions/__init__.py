"""Sanctions: what follows for a publisher when the rules are broken."""
