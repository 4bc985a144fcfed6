"""The net1d family: plain convolutional networks over time."""
