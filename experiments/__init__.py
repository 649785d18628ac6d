"""Studies of many fits. Each writes one JSON line for a finished row, and draws a table and a picture from the JSON."""
