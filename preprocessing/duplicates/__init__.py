"""Copies of images: perceptual hashes, their search, registration, groups."""
