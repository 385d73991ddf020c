"""The data set: groups, stratified splits, export, and which runs use an image."""
