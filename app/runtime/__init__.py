"""Runtime: devices, sessions, the model store, the scheduler, admission control and request contexts."""
