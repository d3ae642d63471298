"""Keys, conditions and matching of queries (PS3.4 C.2.2), the indexed attributes, and responses."""
