"""Antiphon: a self-hosted server of the Responses API, in front of any model.

The package itself imports nothing, so that `import antiphon` costs nothing; ARCHITECTURE.md shows what lives where.
"""

__version__ = "0.1.0"
"""The version of this release. pyproject.toml takes it from here."""
