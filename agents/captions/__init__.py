"""Captions: text in the picture. No agent's own: what review and rumor need of it is in the signals."""
