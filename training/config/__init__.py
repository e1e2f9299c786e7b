"""The schema and the registry of training runs, and the columns of label arrays; imports `app.vision`."""
