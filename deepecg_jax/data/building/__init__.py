"""How does a source become shards?"""
