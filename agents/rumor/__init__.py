"""Rumor: claims that are refuted or suspected, and news made with generated media."""
