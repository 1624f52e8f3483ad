"""The admin API: thin functions, below /v1/organization."""
