"""The commands of the whole path, one module each."""
