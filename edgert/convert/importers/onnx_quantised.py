"""Builders of quantised operators."""

CONTRIBUTED = {}
