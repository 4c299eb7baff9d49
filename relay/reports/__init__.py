"""to be said"""
