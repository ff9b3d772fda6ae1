"""Review: what must not be published."""
