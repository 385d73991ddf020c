"""A small image-search site on loopback, for the demo, the tests and the benchmarks; imports nothing of ours.

Folders:
    drawing: the rendered images.
    faults: answers that misbehave on request.
"""
