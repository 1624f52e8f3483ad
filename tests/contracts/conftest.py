"""The suites are shipped in `antiphon.testing.contracts`; their asserts explain themselves like those of a test."""

import pytest

pytest.register_assert_rewrite("antiphon.testing.contracts")
