"""Media as strangers might make it, sent through the worker's own pool of decoding processes."""
