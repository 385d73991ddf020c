"""Statistics of single images, and the checks that judge by them."""
