"""Exchange of hash lists (Provisions, Art. 5): lists of other platforms and exchanges in, ours out.

`formats` reads lists, record by record, into entries of the hash bank; `writing` writes entries in the formats that
others read; `importing` and `bank` carry them to and from the topic `hashbank`.
"""
