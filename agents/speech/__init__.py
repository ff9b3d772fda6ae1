"""Speech: who speaks when, and what is said. No agent's own: what review and rumor need of it is in the signals."""
