"""What do a hospital's tables say?"""
