"""Shards on disk, and batches from them."""
