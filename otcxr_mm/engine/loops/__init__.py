"""How a run goes over its data."""
