"""Edited attributes: which may change, and what a header, a dataset and a file look like with them."""
