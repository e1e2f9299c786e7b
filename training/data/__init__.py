"""Readers of the real data sets, and the crops and records made from them."""
