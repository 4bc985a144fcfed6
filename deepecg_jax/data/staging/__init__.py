"""A shard in the making: its task, its bytes, its place in the data set."""
