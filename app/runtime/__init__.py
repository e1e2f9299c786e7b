"""Runtime: devices, sessions, the model store, scheduling, admission control and request contexts."""
