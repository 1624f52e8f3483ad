"""Stores: where responses and their journals are kept. `sqlite` is the default and needs nothing but a folder."""
