"""Does a training fit a TPU slice, how fast is it, and what does it cost, before one is rented?"""
