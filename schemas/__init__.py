"""The wire: message types, JSON Schemas, the topic table and the reason codes. Imports nothing else of ours."""
