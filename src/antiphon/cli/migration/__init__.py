"""What to change in a Python program that speaks Chat Completions, so that it speaks Responses.

    findings = read(source)                 # in the order of the lines; raises SyntaxError

`tables` has what becomes what, `rules` looks for it in the syntax tree. Nothing is run and nothing is changed.
"""

from __future__ import annotations

from antiphon.cli.migration.rules import Finding, read

__all__ = ["Finding", "read"]
