"""What is a trained model, and how is it applied?"""
