"""How does a training step get its batch?"""
