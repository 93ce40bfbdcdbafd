"""Signals: arrays in, arrays out."""
