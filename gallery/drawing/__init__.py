"""gallery.drawing."""
