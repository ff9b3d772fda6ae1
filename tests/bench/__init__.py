"""Speed, against the plain library doing the same work: `make bench`."""
