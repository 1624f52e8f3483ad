"""Thin functions: decode, ask the engine, encode."""
