"""The training jobs, one per kind of net, and their common loop; imports the packages below `exporting`."""
