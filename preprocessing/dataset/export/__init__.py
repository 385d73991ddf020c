"""The dataset of a run for other libraries, with the licence of every image: imagefolder, Parquet, WebDataset."""
