"""Makes the labelled copies that orders ask for."""
