"""Pure functions on numpy and OpenCV: images, boxes, points, alignment, pyramids, drawing; the model spec."""
