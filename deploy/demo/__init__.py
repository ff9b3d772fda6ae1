"""The demonstration: media made from real footage, the scenario of twelve cases, and its runner."""
