"""The agents: detectors, pure judges, and the few lines that move their messages. No agent imports another."""
