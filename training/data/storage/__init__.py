"""Files of prepared training data; imports no other package of `training.data`."""
