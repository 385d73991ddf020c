"""Bytes to upright RGB: decoding in isolated worker processes, colour, the pixel cache."""
