"""Sources on this machine: a folder of images, a file of URLs."""
