"""Pure functions on numpy arrays: images, boxes, points, alignment, pyramids, drawing; and the model spec."""
