"""Extraction: fetch a media item, decode it once in a process of its own, and run every detector over it."""
