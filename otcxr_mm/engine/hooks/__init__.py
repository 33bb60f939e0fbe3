"""Everything with a schedule, a file or a measurement."""
