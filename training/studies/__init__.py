"""Studies: what the tutorials' mistakes cost, shown with small nets that train in minutes."""
