"""Quality of detection, with the count that each figure rests on: `make eval`.

Nothing here was used to choose a threshold: PDQ's is Meta's, the others were set before there were figures.
"""
