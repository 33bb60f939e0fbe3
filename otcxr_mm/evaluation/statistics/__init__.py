"""Figures of merit and their intervals, in NumPy alone."""
