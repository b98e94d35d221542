"""What it costs: measured, beside other tools."""
