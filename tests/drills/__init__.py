"""Faults that edgetl survives; `make drills` runs them."""
