"""Reviewers: what people are asked, who has taken it, and what follows from what they rule."""
