"""Pure numpy and OpenCV functions: images, boxes, points, alignment, pyramids, drawing, and the model spec."""
