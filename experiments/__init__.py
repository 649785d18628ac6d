"""Studies: many fits, one JSON line for each finished row, one table and one picture drawn from the JSON."""
