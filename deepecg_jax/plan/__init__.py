"""Does a training fit a TPU slice, how fast will it be and what will it cost, before one is rented?"""
