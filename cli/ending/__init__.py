"""The ends that a command does not reach by itself: stopped by a signal, or by what nobody foresaw."""
