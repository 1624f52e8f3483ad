"""The decisions: pure, with time and chance as arguments. The server and the toolkit use the same ones."""
